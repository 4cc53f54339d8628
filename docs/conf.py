"""Sphinx's settings of the site, which is read from disk: nothing is fetched while it is built or read."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from rekindle import __version__

project = "rekindle"
author = project_copyright = "The rekindle developers"
version = release = __version__
extensions = [
    "myst_parser",
    "extensions.api_directive",
    "extensions.command_directive",
    "extensions.glossary_terms",
    "extensions.repository_links",
    "extensions.root_document",
    "extensions.external_links",
]
source_suffix = {".md": "markdown"}
root_doc = "index"
exclude_patterns = ["extensions/**"]

myst_heading_anchors = 4
myst_url_schemes = ["http", "https", "mailto", "repository"]  # the last is that of extensions/repository_links.py
highlight_language = "text"
python_use_unqualified_type_names = True
maximum_signature_line_length = 90
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"rekindle {release}"
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # summaries are fetched, which a browser refuses for pages on disk
html_static_path = ["static"]
html_css_files = ["site.css"]
html_last_updated_fmt = None
html_theme_options = {"top_of_page_buttons": []}
smartquotes = False
