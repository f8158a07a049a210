"""The site: `make site` builds these pages, and the API from the docstrings, into dist/site."""

import pathlib
import re
import shutil
import sys

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

# Sphinx takes pages of this folder only.
(ROOT / 'docs/notebooks').mkdir(exist_ok=True)
for notebook in (ROOT / 'notebooks').glob('*.ipynb'):
  shutil.copy(notebook, ROOT / 'docs/notebooks')

project = 'gan_jax'
author = 'The gan_jax authors'
extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.autosummary', 'sphinx.ext.napoleon']
html_theme = 'sphinx_book_theme'
html_title = 'gan_jax'
html_static_path = ['_static']
html_css_files = ['site.css']
exclude_patterns = ['example', 'clusters']
templates_path = ['_templates']
myst_enable_extensions = ['attrs_inline', 'dollarmath']
myst_heading_anchors = 3
nb_execution_mode = 'off'  # they come with their outputs
autosummary_generate = True
autodoc_member_order = 'bysource'
autodoc_typehints = 'none'
napoleon_use_ivar = True
napoleon_use_rtype = False


def as_rst(app, what, name, of, options, lines):
  """Docstrings are plain text with $formulas$: outside of examples `*` and `|` mean themselves."""
  example = False
  for number, line in enumerate(lines):
    example = line.strip().startswith('>>>') or (example and bool(line.strip()))
    if not example:
      parts = re.split(r'(\$[^$]+\$|`[^`]+`)', line)
      parts[::2] = [re.sub(r'([*|])', r'\\\1', part) for part in parts[::2]]
      parts[1::2] = [f':math:`{part[1:-1]}`' if part[0] == '$' else f'``{part[1:-1]}``' for part in parts[1::2]]
      lines[number] = ''.join(parts)


def without_flax(app, what, name, of, options, signature, returned):
  """The arguments of a module without the two that Flax adds to each."""
  return re.sub(r'(, )?parent=<flax[^>]*>, name=None', '', signature or '') or None, returned


def with_own_links(app, page, source):
  """Links to notebooks/ lead to the copies in this folder, those to benchmarks/ to the page that includes it."""
  source[0] = source[0].replace('](../notebooks/', '](notebooks/')
  source[0] = source[0].replace('](../benchmarks/README.md', '](benchmarks.md')


def setup(app):
  app.connect('source-read', with_own_links)
  app.connect('autodoc-process-signature', without_flax)
  app.connect('autodoc-process-docstring', as_rst, priority=400)  # before napoleon
