from django.contrib import admin
from django.http import HttpResponse
from django.urls import path

urlpatterns = [
    path("admin/", admin.site.urls),
    # Browsers request it themselves, and report an error if it is missing.
    path("favicon.ico", lambda request: HttpResponse(status=204)),
]
