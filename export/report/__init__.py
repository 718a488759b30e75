"""What `export_all` found out, for people: a page, pictures, a model card, advice."""
