"""What the site has beyond Markdown: the references made from the code, and pages of the files that pages link to."""
