"""The report of `export_all`: HTML page, pictures, model card, advice."""
