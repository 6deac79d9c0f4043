"""Single buildings from a description in TOML: what `felsina energy --building` simulates."""
