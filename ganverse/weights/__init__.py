"""Small weights that come with the package: safetensors next to a JSON card."""
