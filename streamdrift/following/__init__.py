"""What follows the alerts from their topics, beside the service and on threads of its own."""
