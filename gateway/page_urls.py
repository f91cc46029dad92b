"""The addresses of the first pages."""

from django.urls import path

from gateway import catalog_pages, limits_page, pages, quotes_page

urlpatterns = [
    path("", pages.home, name="home"),
    path("start/", pages.get_started, name="get-started"),
    path("start/result/", pages.get_started_result, name="get-started-result"),
    path("models/", catalog_pages.catalog, name="catalog"),
    path("models/<path:model_id>/", catalog_pages.model, name="catalog-model"),
    path("usage/limits/", limits_page.limits, name="limits"),
    path("usage/quotes/", quotes_page.quotes, name="quotes"),
    path("mail/", pages.local_mail, name="local-mail"),
    path("styleguide/", pages.styleguide, name="styleguide"),
]
