"""The built-in synthetic district: a quarter of known truth, its laser scan and its weather, all from a seed."""
