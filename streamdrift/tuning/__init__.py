"""History under several alert budgets, side by side: what each would have told, and when."""
