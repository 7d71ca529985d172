from django.contrib import admin
from django.http import HttpResponse
from django.urls import path

urlpatterns = [
    path("admin/", admin.site.urls),
    # A browser asks for it on its own, and its console tells that there is none.
    path("favicon.ico", lambda request: HttpResponse(status=204)),
]
