"""How applications find each other: addresses of Services on the bridges, and the names that lead there."""
