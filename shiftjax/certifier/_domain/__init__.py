"""The abstract domain of the certifier: what is known of an axis and of an array. No JAX here."""
