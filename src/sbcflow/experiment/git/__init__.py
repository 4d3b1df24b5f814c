"""What experiments need of Git: references and their names, trees, the repository they live in."""
