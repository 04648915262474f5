"""Addresses of the training side: noun / id / verb."""

from django.urls import URLPattern, URLResolver, include, path

from training import views

app_name = "training"

# /runs/<pk>/
run_urls = [
    path("", views.run, name="run"),
    path("curves.json", views.run_curves, name="run_curves"),
    path("fit.json", views.run_fit, name="run_fit"),
    path("curves.csv", views.run_csv, name="run_csv"),
    path("table/<slug:chart>/", views.run_table, name="run_table"),
    path("steps/<int:step>/", views.run_step, name="run_step"),
    path("rewards/", views.run_rewards, name="run_rewards"),
    path("rewards.csv", views.run_rewards_csv, name="run_rewards_csv"),
    path("cancel/", views.run_cancel, name="run_cancel"),
    path("resume/", views.run_resume, name="run_resume"),
]

# /runs/sweeps/<pk>/
sweep_urls = [
    path("", views.sweep, name="sweep"),
    path("curves.json", views.sweep_curves, name="sweep_curves"),
    path("curves.csv", views.sweep_csv, name="sweep_csv"),
    path("table/<slug:chart>/", views.sweep_table, name="sweep_table"),
]

# /models/compare/
compare_urls = [
    path("", views.compare, name="compare"),
    path("generate/", views.compare_generate, name="compare_generate"),
    path("tokens/", views.compare_tokens, name="compare_tokens"),
    path("send/", views.compare_send, name="compare_send"),
]

# /reviews/<pk>/
review_urls = [
    path("", views.review, name="review"),
    path("next/", views.review_next, name="review_next"),
    path("pairs/<int:prompt>/", views.review_pair, name="review_pair"),
    path("pairs/<int:prompt>/vote/", views.review_vote, name="review_vote"),
    path("comment/", views.review_comment, name="review_comment"),
    path("close/", views.review_close, name="review_close"),
]

# /projects/<slug>/chat/<pk>/
chat_urls = [
    path("", views.chat, name="chat"),
    path("say/", views.chat_say, name="chat_say"),
    path("stop/", views.chat_stop, name="chat_stop"),
    path("again/", views.chat_again, name="chat_again"),
    path("vote/", views.chat_vote, name="chat_vote"),
    path("delete/", views.chat_delete, name="chat_delete"),
]

# /models/<pk>/
model_urls = [
    path("", views.model, name="model"),
    path("card/", views.model_card, name="model_card"),
    path("card.md", views.model_card_file, name="model_card_file"),
    path("download/", views.model_download, name="model_download"),
    path("push/", views.model_push, name="model_push"),
    path("delete/", views.model_delete, name="model_delete"),
    path("promote/", views.promote, name="promote"),
    path("round/", views.round_new, name="round_new"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("dashboard/", views.dashboard, name="dashboard"),
    path("projects/<slug:slug>/freeze/", views.freeze, name="freeze"),
    path("projects/<slug:slug>/chat/", views.chats, name="chats"),
    path("projects/<slug:slug>/chat/<int:pk>/", include(chat_urls)),
    path("runs/", views.runs, name="runs"),
    path("runs/new/", views.run_new, name="run_new"),
    path("runs/overlay/", views.overlay, name="overlay"),
    path("runs/overlay/curves.csv", views.overlay_csv, name="overlay_csv"),
    path("runs/overlay/table/<slug:chart>/", views.overlay_table, name="overlay_table"),
    path("runs/sweeps/<int:pk>/", include(sweep_urls)),
    path("runs/mail/", views.run_mail, name="run_mail"),
    path("runs/<int:pk>/", include(run_urls)),
    path("models/", views.models, name="models"),
    path("models/compare/", include(compare_urls)),
    path("models/<int:pk>/", include(model_urls)),
    path("snapshots/<int:pk>/", views.snapshot, name="snapshot"),
    path("answers/<int:pk>/", views.answer, name="answer"),
    path("tasks/<int:pk>/uses/", views.task_uses, name="task_uses"),
    path("reviews/new/", views.review_open, name="review_open"),
    path("reviews/<int:pk>/", include(review_urls)),
    path("rounds/<int:pk>/", views.round_page, name="round_page"),
]
