"""The recogniser of the demo: spoken orders in, text out while they are spoken."""
