"""Writes the table of docs/systems.md from the shipped configs: `make readme`."""

import pathlib
import re

from gan_jax import config

PAGE = pathlib.Path(__file__).parent / 'systems.md'
MARKS = ('<!-- systems -->\n', '<!-- end of systems -->\n')


def table() -> str:
  """The table in Markdown, one row per config file."""
  rows = ['| config | what it is | paper | variants |', '|---|---|---|---|']
  for file, variants, doc in config.descriptions():
    paper = re.search(r'^Paper: (.*?), (https?://[^\s;,]+[^\s;,.])', doc, re.MULTILINE)
    cited = f'[{paper[1]}]({paper[2]})' if paper else ''
    listed = ', '.join(f'`{variant}`' for variant in variants)
    rows.append(f'| [`{file}`](../{file}) | {doc.splitlines()[0].rstrip(".")} | {cited} | {listed} |')
  return '\n'.join(rows) + '\n'


def filled(text: str) -> str:
  """The text of the page with the table in its place."""
  start, end = (text.index(mark) for mark in MARKS)
  return text[: start + len(MARKS[0])] + table() + text[end:]


if __name__ == '__main__':
  PAGE.write_text(filled(PAGE.read_text()))
