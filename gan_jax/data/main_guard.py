"""Checks that a script may start worker processes: they import it, so it needs `if __name__ == '__main__':`."""

import ast
import sys
from types import FrameType

from gan_jax.base.errors import UserError


def check_main_guard(setting: str) -> None:
  """Raises a UserError if the running script calls this outside `if __name__ == '__main__':`.

  Otherwise each worker process would fail at that line, and the program would wait for it forever.

  Args:
    setting: the setting that starts processes, for the message.
  """
  main = sys.modules.get('__main__')
  frame: FrameType | None = sys._getframe()
  called = lambda frame: (frame.f_code.co_name, frame.f_globals.get('__name__'))
  while frame is not None and called(frame) != ('<module>', '__main__'):
    frame = frame.f_back
  # A notebook and `python -c` have no file, so workers import no script.
  if frame is None or frame.f_code.co_filename != getattr(main, '__file__', None):
    return
  try:
    with open(frame.f_code.co_filename, encoding='utf-8') as file:
      tree = ast.parse(file.read())
  except (OSError, SyntaxError, UnicodeDecodeError):  # not text, or changed since
    return
  for node in ast.walk(tree):
    if not (isinstance(node, ast.If) and node.lineno <= frame.f_lineno <= (node.end_lineno or node.lineno)):
      continue
    if any(isinstance(part, ast.Name) and part.id == '__name__' for part in ast.walk(node.test)):
      return
  raise UserError(
    f'{setting} starts processes, which import {frame.f_code.co_filename} again: put its line {frame.f_lineno} below '
    "`if __name__ == '__main__':`, or set workers to 0"
  )
