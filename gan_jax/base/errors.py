"""The exceptions for what a user can mend: a line that names the setting, the value and the cure."""


class UserError(ValueError):
  """Something the user can put right; the commands print it as one line and exit with code 2."""


class Diverged(UserError):
  """Numbers of the training are not finite any more: the state is not worth saving."""


def one_of(what: str, value: object, choices) -> UserError:
  """An error for a `value` that is not among `choices`.

  >>> str(one_of('player', 'gen', ['generator']))
  "unknown player 'gen': choose one of generator"
  """
  return UserError(f'unknown {what} {value!r}: choose one of {", ".join(sorted(map(str, choices)))}')


def short(error: BaseException, most: int = 300) -> str:
  """An exception in one line of at most so many letters.

  >>> short(KeyError('image'))
  "KeyError: 'image'"
  >>> short(UserError('too\\nlong'), 6)
  'too lo...'
  """
  text = ' '.join(str(error).split())
  if not isinstance(error, UserError):
    text = f'{type(error).__name__}: {text}' if text else type(error).__name__
  return text if len(text) <= most else text[:most] + '...'
