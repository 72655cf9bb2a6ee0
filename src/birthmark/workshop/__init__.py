"""The owner's workshop: cards, cohorts, networks, training, and what makes a claim of them."""
