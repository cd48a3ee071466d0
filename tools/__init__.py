"""Small programs for whoever develops here; the Makefile runs them."""
