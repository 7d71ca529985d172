"""The interface, as the framework's quick start makes one."""

from __future__ import annotations

from typing import Any

from rest_framework import routers, serializers, viewsets

from .models import Invoice, Ticket


class InvoiceSerializer(serializers.ModelSerializer[Invoice]):
    class Meta:
        model = Invoice
        fields = "__all__"


class TicketSerializer(serializers.ModelSerializer[Ticket]):
    class Meta:
        model = Ticket
        fields = ("id", "project", "number", "title")


class InvoiceViewSet(viewsets.ModelViewSet[Invoice]):
    queryset = Invoice.objects.order_by("number")
    serializer_class = InvoiceSerializer
    permission_classes: tuple[Any, ...] = ()
    authentication_classes: tuple[Any, ...] = ()


class TicketViewSet(viewsets.ModelViewSet[Ticket]):
    queryset = Ticket.objects.order_by("pk")
    serializer_class = TicketSerializer
    permission_classes: tuple[Any, ...] = ()
    authentication_classes: tuple[Any, ...] = ()


router = routers.DefaultRouter()
router.register("invoices", InvoiceViewSet)
router.register("tickets", TicketViewSet)
urlpatterns = router.urls
