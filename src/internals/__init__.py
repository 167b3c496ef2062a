"""The one door to private interfaces of Lightning and torch."""
