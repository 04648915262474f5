"""Addresses of the labelling side: noun / id / verb."""

from django.urls import URLPattern, URLResolver, include, path

from annotation.api import api
from annotation.api.v1 import openapi, unknown
from annotation.views import (
    account,
    adjudicate,
    agreement,
    annotate,
    api_reference,
    audit,
    exports,
    gold,
    guidelines,
    home,
    imports,
    invitations,
    judgments,
    keys,
    leaderboard,
    people,
    person,
    progress,
    project,
    settings,
    task_making,
    tasks,
    tokens,
    webhooks,
)

app_name = "annotation"

# /projects/<slug>/webhooks/
webhook_urls = [
    path("", webhooks.webhooks, name="webhooks"),
    path("<int:pk>/", webhooks.webhook, name="webhook"),
    path("<int:pk>/secret/", webhooks.webhook_secret, name="webhook_secret"),
    path("<int:pk>/test/", webhooks.webhook_test, name="webhook_test"),
    path("<int:pk>/remove/", webhooks.webhook_remove, name="webhook_remove"),
    path("<int:pk>/again/<int:delivery>/", webhooks.webhook_again, name="webhook_again"),
]

# /projects/<slug>/
project_urls: list[URLPattern | URLResolver] = [
    path("", project.project, name="project"),
    path("quality/", project.project_quality, name="project_quality"),
    path("annotate/", annotate.annotate, name="annotate"),
    path("undo/", annotate.undo, name="undo"),
    path("settings/", settings.settings, name="settings"),
    path("settings/criteria/", settings.criterion_new, name="criterion_new"),
    path("settings/criteria/<int:pk>/", settings.criterion, name="criterion"),
    path("settings/criteria/<int:pk>/remove/", settings.criterion_remove, name="criterion_remove"),
    path("judgments/", judgments.judgments, name="judgments"),
    path("guidelines/", guidelines.guidelines, name="guidelines"),
    path("guidelines/versions/", guidelines.guidelines_versions, name="guidelines_versions"),
    path("guidelines/seen/", guidelines.guidelines_seen, name="guidelines_seen"),
    path("people/", people.people, name="people"),
    path("people/csv/", person.people_csv, name="people_csv"),
    path("people/<int:pk>/", person.person, name="person"),
    path("people/<int:pk>/void/", person.void, name="void"),
    path("voidings/<int:pk>/restore/", person.restore, name="restore"),
    path("people/<int:pk>/pause/", people.member_pause, name="member_pause"),
    path("people/<int:pk>/remove/", people.member_remove, name="member_remove"),
    path("invitations/", invitations.invitations, name="invitations"),
    path("invitations/<int:pk>/revoke/", invitations.invitation_revoke, name="invitation_revoke"),
    path("audit/", audit.audit, name="audit"),
    path("audit.csv", audit.audit_csv, name="audit_csv"),
    path("tasks/", tasks.tasks, name="tasks"),
    path("agreement/", agreement.agreement, name="agreement"),
    path("agreement/csv/", agreement.agreement_csv, name="agreement_csv"),
    path("agreement/consensus/", agreement.consensus, name="consensus"),
    path("adjudicate/", adjudicate.adjudicate, name="adjudicate"),
    path("adjudicate/decided/", adjudicate.decided, name="decided"),
    path("adjudicate/<int:pk>/", adjudicate.decide, name="decide"),
    path("adjudicate/<int:pk>/withdraw/", adjudicate.withdraw, name="verdict_withdraw"),
    path("import/", imports.imports, name="imports"),
    path("import/<int:pk>/", imports.import_page, name="import"),
    path("import/<int:pk>/start/", imports.import_start, name="import_start"),
    path("import/<int:pk>/step/", imports.import_step, name="import_step"),
    path("import/<int:pk>/cancel/", imports.import_cancel, name="import_cancel"),
    path("import/<int:pk>/problems/", imports.import_problems, name="import_problems"),
    path("export/", exports.export_page, name="export"),
    path("export/file/", exports.export_file, name="export_file"),
    path("tasks/new/", task_making.tasks_new, name="tasks_new"),
    path("tasks/change/", tasks.tasks_change, name="tasks_change"),
    path("gold/", gold.gold, name="gold"),
    path("gold/new/", gold.gold_new, name="gold_new"),
    path("gold/repeats/", gold.repeats, name="repeats"),
    path("gold/<int:pk>/", gold.gold_task, name="gold_task"),
    path("gold/<int:pk>/unset/", gold.gold_unset, name="gold_unset"),
    path("leaderboard/", leaderboard.board, name="leaderboard"),
    path("leaderboard/csv/", leaderboard.board_csv, name="leaderboard_csv"),
    path("webhooks/", include(webhook_urls)),
]

# /assignments/<pk>/
assignment_urls = [
    path("judge/", annotate.judge, name="judge"),
    path("skip/", annotate.skip, name="skip"),
    path("draft/", annotate.draft, name="draft"),
    path("revise/", judgments.revise, name="revise"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", home.home, name="home"),
    path("account/keys/", keys.keys, name="keys"),
    path("progress/<slug:work>/", progress.progress, name="progress"),
    path("projects/new/", project.project_new, name="project_new"),
    path("projects/<slug:slug>/", include(project_urls)),
    path("assignments/<int:pk>/", include(assignment_urls)),
    path("account/tokens/", tokens.tokens, name="tokens"),
    path("account/tokens/<int:pk>/revoke/", tokens.token_revoke, name="token_revoke"),
    path("api/", api_reference.api_reference, name="api_reference"),
    path("api/v1/openapi.json", openapi, name="openapi"),
    path("api/v1/", api.urls),
    path("api/<path:rest>", unknown, name="api_unknown"),
    path("invitations/<str:token>/", invitations.invitation, name="invitation"),
    # One's own account; what allauth does for it stands in config/account_urls.py
    path("account/", account.account, name="account"),
    path("account/export/", account.account_export, name="account_export"),
    path("account/erase/", account.account_erase, name="account_erase"),
    # Everybody's, for those who run the installation
    path("accounts/", account.accounts, name="accounts"),
    path("accounts/<int:pk>/", account.account, name="account_of"),
    path("accounts/<int:pk>/export/", account.account_export, name="account_of_export"),
    path("accounts/<int:pk>/erase/", account.account_erase, name="account_of_erase"),
]
