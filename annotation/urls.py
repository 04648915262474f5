"""Addresses of the labelling side: noun / id / verb."""

from django.urls import URLPattern, URLResolver, include, path

from annotation.views import annotate, guidelines, home, leaderboard, people, person, project, tasks

app_name = "annotation"

# /projects/<slug>/
project_urls = [
    path("", project.project, name="project"),
    path("annotate/", annotate.annotate, name="annotate"),
    path("undo/", annotate.undo, name="undo"),
    path("guidelines/", guidelines.guidelines, name="guidelines"),
    path("people/", people.people, name="people"),
    path("people/csv/", person.people_csv, name="people_csv"),
    path("people/<int:pk>/", person.person, name="person"),
    path("people/<int:pk>/void/", person.void, name="void"),
    path("voidings/<int:pk>/restore/", person.restore, name="restore"),
    path("people/<int:pk>/pause/", people.member_pause, name="member_pause"),
    path("tasks/", tasks.tasks, name="tasks"),
    path("leaderboard/", leaderboard.board, name="leaderboard"),
    path("leaderboard/csv/", leaderboard.board_csv, name="leaderboard_csv"),
]

# /assignments/<pk>/
assignment_urls = [
    path("judge/", annotate.judge, name="judge"),
    path("skip/", annotate.skip, name="skip"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", home.home, name="home"),
    path("projects/new/", project.project_new, name="project_new"),
    path("projects/<slug:slug>/", include(project_urls)),
    path("assignments/<int:pk>/", include(assignment_urls)),
]
