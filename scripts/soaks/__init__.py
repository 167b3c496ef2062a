"""Stops, damages and odd inputs, drawn at random; what is left is compared with what should be."""
