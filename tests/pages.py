"""The commands that pages show, as a shell reads them: quotes, continued lines, loops and variables included."""

import os
import pathlib
import re
import subprocess
import tempfile
import textwrap

ROOT = pathlib.Path(__file__).parent.parent
PAGES = sorted([ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *ROOT.glob('docs/*.md'), *ROOT.glob('benchmarks/*.md')])
#: Programs that a page may call; each only notes how it was called.
PROGRAMS = ('git', 'hf', 'make', 'gan-jax', 'pip', 'pre-commit', 'python', 'tensorboard', 'tfds', 'uv', 'wandb')
STARTS = rf'(?:[A-Z_]+=\S+ )*(?:{"|".join(PROGRAMS)}|source) [-\w.<(\'"]'
#: What stands for something of the reader's, and what a test takes in its place.
PLACEHOLDERS = (
  (r'[\w./]*/bin/(python|pip|gan-jax)', r'\1'),
  (r'<[\w ]+>', 'FOLDER'),
  (r'--config \.\.\.', '--config configs/quickstart.py'),
  (r'=(S|SEED)\b', '=0'),
  (r'--picture=NAME', '--picture=grid'),
  (r'NAME\b', 'name'),
)


def blocks(page: pathlib.Path) -> list[str]:
  """The pieces of a page that are commands: indented and fenced blocks, and code within lines."""
  text = page.read_text()
  for pattern, replacement in PLACEHOLDERS:
    text = re.sub(pattern, replacement, text)
  fenced = re.findall(r'^```(?:bash|sh|shell)\n(.*?)^```', text, re.MULTILINE | re.DOTALL)
  text = re.sub(r'^```.*?^```', '', text, flags=re.MULTILINE | re.DOTALL)
  indented = map(textwrap.dedent, re.findall(r'(?:^    .*\n)+', text + '\n', re.MULTILINE))
  within = re.findall(r'`([^`]+)`', re.sub(r'^    .*\n', '', text, flags=re.MULTILINE))
  starts = re.compile(rf'^(?:for .*)?{STARTS}', re.MULTILINE)
  return [block for block in (*indented, *fenced) if starts.search(block)] + [
    ' '.join(code.split()) for code in within if re.match(STARTS, code)
  ]


def calls(page: pathlib.Path) -> list[list[str]]:
  """[program, argument, ...] of every program that a page starts, by bash with programs that only note their calls.

  Raises:
    AssertionError: bash refuses a block, or it names a program that is not in PROGRAMS.
  """
  with tempfile.TemporaryDirectory() as folder:
    log = pathlib.Path(folder) / 'log'
    for name in PROGRAMS:
      program = pathlib.Path(folder) / name
      program.write_text('#!/bin/bash\nprintf "%s\\0" "${0##*/}" "$@" $\'\\x01\' >> "$LOG"\n')
      program.chmod(0o755)
    script = '\n'.join(f'(\n{block}\n)' for block in blocks(page))
    done = subprocess.run(
      ['/bin/bash', '-u'],
      input=script,
      env={'PATH': folder, 'LOG': str(log), 'HOME': folder},
      cwd=folder,
      capture_output=True,
      text=True,
    )
    assert not done.stderr, f'{page.name}: {done.stderr}'
    noted = log.read_text() if log.exists() else ''
  return [call.split('\0')[:-1] for call in noted.split('\x01\0') if call]


def unique(pages=PAGES) -> dict[tuple[str, ...], str]:
  """{(program, argument, ...): the page that shows it first} of all pages."""
  shown: dict[tuple[str, ...], str] = {}
  for page in pages:
    for call in calls(page):
      shown.setdefault(tuple(call), os.fspath(page.relative_to(ROOT)))
  return shown
