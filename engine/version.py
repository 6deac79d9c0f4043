"""The version of felsina; a module of its own, so that no room imports the name plate."""

__version__ = "0.1.0"
