"""Three JSON schemas as they occur, each with the question that it answers."""

from __future__ import annotations

from typing import Any

_LINE = {"type": "string", "maxLength": 32}
_COUNT = {"type": "integer", "minimum": 0, "maximum": 99999}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


TOOL_CALL = _object(
    {
        "name": {"enum": ["get_weather", "get_time", "send_message"]},
        "arguments": _object({"location": _LINE, "unit": {"enum": ["celsius", "fahrenheit"]}, "days": _COUNT}),
    }
)

KEY_HEAVY = _object(
    {
        "customer_identification_number": _COUNT,
        "customer_is_returning_visitor": {"type": "boolean"},
        "shipping_address_city": _LINE,
        "shipping_address_postal_code": _COUNT,
        "billing_address_is_shipping_address": {"type": "boolean"},
        "preferred_payment_method": {"enum": ["credit_card", "bank_transfer", "invoice"]},
        "number_of_items_in_basket": _COUNT,
        "total_price_including_taxes": _COUNT,
        "newsletter_subscription_enabled": {"type": "boolean"},
        "loyalty_programme_membership_level": {"enum": ["none", "silver", "gold"]},
        "estimated_delivery_time_in_days": _COUNT,
        "requires_signature_on_delivery": {"type": "boolean"},
    }
)

NESTED = _object(
    {
        "title": _LINE,
        "sections": {
            "type": "array",
            "minItems": 2,
            "maxItems": 3,
            "items": _object(
                {
                    "heading": _LINE,
                    "entries": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": 3,
                        "items": _object(
                            {"key": _LINE, "value": _COUNT, "tags": _object({"open": {"type": "boolean"}})}
                        ),
                    },
                }
            ),
        },
    }
)

SCHEMAS: dict[str, tuple[dict[str, Any], str]] = {
    "tool call": (TOOL_CALL, "What is the weather in Paris for the next 3 days?"),
    "key-heavy": (KEY_HEAVY, "Anna from Berlin bought 3 red lamps for 40 dollars each. Give the order as JSON."),
    "nested": (NESTED, "Give a packing list in sections, with a number of pieces for each entry, as JSON."),
}
