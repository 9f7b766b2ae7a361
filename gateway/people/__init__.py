"""Who is reached, in which order, and for how long. ``escalate`` decides; later: rotas and quiet hours."""
