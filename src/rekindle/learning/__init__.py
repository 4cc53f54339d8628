"""From rewards to gradients: who is compared with whom, how tokens are averaged, and the loss of one token."""
