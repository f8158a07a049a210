"""The one exception for what a user can mend: a line that names the setting, the value and the cure."""


class UserError(ValueError):
  """Something the user can put right; the commands print it as one line and exit with code 2."""


def one_of(what: str, value: object, choices) -> UserError:
  """An error for a `value` that is not among `choices`.

  >>> str(one_of('player', 'gen', ['generator']))
  "unknown player 'gen': choose one of generator"
  """
  return UserError(f'unknown {what} {value!r}: choose one of {", ".join(sorted(map(str, choices)))}')
