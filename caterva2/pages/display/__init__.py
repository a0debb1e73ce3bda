"""The tab that shows a file by its content: text, code, documents, pictures, sound."""
