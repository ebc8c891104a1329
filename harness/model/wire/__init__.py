"""What an agent may tell: observations, stamps and frames. Every byte that comes from a guest is checked here."""
