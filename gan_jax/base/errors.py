"""Exceptions for errors that a user can mend. Each message is one line with the setting, its value and the cure."""


class UserError(ValueError):
  """An error that the user can mend. The commands print it as one line and exit with code 2."""


class Diverged(UserError):
  """The training has produced nan or infinity, so its state is not saved."""


class Absent(UserError, KeyError):
  """A field that something reads and nothing gave it.

  Attributes:
    field: its name.
  """

  def __init__(self, field: str):
    super().__init__(f'the game reads the field {field!r}, which its inputs lack: give it, or a condition of that name')
    self.field = field

  def __str__(self) -> str:  # not that of a KeyError, which has quotation marks
    return str(self.args[0])


def one_of(what: str, value: object, choices) -> UserError:
  """An error for a `value` that is not among `choices`.

  >>> str(one_of('player', 'gen', ['generator']))
  "unknown player 'gen': choose one of generator"
  """
  return UserError(f'unknown {what} {value!r}: choose one of {", ".join(sorted(map(str, choices)))}')


def short(error: BaseException, most: int = 300) -> str:
  """An exception as one line of at most `most` characters.

  >>> short(KeyError('image'))
  "KeyError: 'image'"
  >>> short(UserError('too\\nlong'), 6)
  'too lo...'
  """
  text = ' '.join(str(error).split())
  if not isinstance(error, UserError):
    text = f'{type(error).__name__}: {text}' if text else type(error).__name__
  return text if len(text) <= most else text[:most] + '...'
