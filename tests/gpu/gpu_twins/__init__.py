"""How GPU drivers are checked without a GPU: every one has a twin, the CPU driver, and a case that runs both."""
