"""One exercise file per adapter, and the suite that plays them."""
