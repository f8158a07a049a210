"""The common part of all commands: flags, one-line errors with exit code 2, the compilation cache."""

import contextlib
import hashlib
import logging as python_logging
import os
import pathlib
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence

from absl import flags, logging

from gan_jax.base import cache, console
from gan_jax.base.errors import UserError, short


def main(
  define: Callable[[flags.FlagValues], None],
  run: Callable[[flags.FlagValues, list[str]], None],
  doc: str | None,
  argv: Sequence[str] | None = None,
) -> None:
  """Parses flags, runs the command and exits.

  The exit code is 0 after success. It is 2 after an error that the user can mend, 1 after any other error (both print
  one line), and 128 plus the number of the signal if a signal stopped a training, which was saved. At other times a
  signal ends the process at once.

  Args:
    define: defines the flags of the command.
    run: does the work; it gets the flags, and the arguments that are no flags of the command.
    doc: the text that --help prints before the flags.
    argv: the arguments without the program's name; by default those of the process.
  """
  values = flags.FlagValues()
  define(values)
  flags.DEFINE_bool('debug', False, 'Show the traceback of an error.', flag_values=values)
  arguments = list(sys.argv[1:] if argv is None else argv)
  if argv is None and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Ctrl-C ends the process at once, as SIGTERM does. By default Python would wait for compiled code to return, and
    # print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
  try:
    if any(argument in ('--help', '-h', '-help') for argument in arguments):
      console.say((doc or '').strip() + '\n\nFlags:\n' + _describe(values))
      sys.exit(0)
    try:
      rest = values(['gan_jax', *arguments], known_only=True)[1:]
    except flags.Error as error:
      raise UserError(' '.join(str(error).split())) from error
    # tfds and orbax print long texts about errors for which we print one line.
    logging.set_verbosity(logging.FATAL)
    python_logging.getLogger('asyncio').setLevel(python_logging.CRITICAL)
    _compilation_cache()
    # grain's worker processes require that absl's flags are parsed.
    flags.FLAGS.mark_as_parsed()
    run(values, rest)
  except Exception as error:
    if '--debug' in arguments or values['debug'].value or os.environ.get('GAN_JAX_TRACEBACK'):
      if _is_one_of_several():
        traceback.print_exc()
        _leave_others(1)
      raise
    for_user = str(error) if isinstance(error, UserError) else _no_devices()
    # If a file has the traceback, a note of the exception names it; JAX and grain add notes on their own frames.
    ours = [note for note in getattr(error, '__notes__', ()) if note.startswith('the traceback is in')]
    where = ours[0] if ours else '--debug shows the traceback'
    console.say(f'error: {for_user or f"{short(error)}; {where}"}', error=True)
    if _is_one_of_several():
      _leave_others(2 if for_user else 1)
    sys.exit(2 if for_user else 1)
  finally:
    console.finish()


def _is_one_of_several() -> bool:
  jax = sys.modules.get('jax')
  return jax is not None and jax.distributed.is_initialized() and jax.process_count() > 1


def _leave_others(code: int) -> None:
  """Ends this process of several at once: JAX would wait five minutes for those that wait for this one."""
  import jax

  console.finish()
  if not jax.process_index():  # the others may say what they have to: without this one they are ended
    time.sleep(2)
  os._exit(code)


def _no_devices() -> str:
  """An error line about JAX_PLATFORMS; '' if JAX finds devices."""
  import jax

  try:
    jax.devices()
  except RuntimeError as error:
    reason = ' '.join(str(error).split())
    return (
      f'JAX_PLATFORMS={os.environ.get("JAX_PLATFORMS", "")!r} gives no device ({reason}): unset it, or set it to cpu'
    )
  return ''


def _describe(values: flags.FlagValues) -> str:
  own = sorted(values.get_flags_for_module(module) for module in values.flags_by_module_dict())
  return '\n'.join(f'  --{flag.name}: {flag.help} (default: {flag.default})' for group in own for flag in group)


def no_rest(rest: Sequence[str]) -> None:
  """Raises a UserError if there are unknown arguments."""
  if rest:
    raise UserError(f'unknown argument {rest[0]!r}: see --help')


def require(values: flags.FlagValues, name: str) -> None:
  """Raises a UserError if a flag was not given."""
  if values[name].value is None:
    raise UserError(f'--{name} is missing: see --help')


@contextlib.contextmanager
def writable(path: os.PathLike | str) -> Iterator[None]:
  """Turns an OSError of the block into a UserError of one line."""
  try:
    yield
  except OSError as error:
    raise UserError(f'cannot write {os.fspath(path)}: {error.strerror or error}; choose another folder') from error


def _compilation_cache() -> None:
  """Turns on JAX's cache of compiled programs: the next run of a small GAN starts in 2 seconds instead of 12."""
  import jax
  import jaxlib

  if (
    getattr(jax.config, 'jax_compilation_cache_dir', None) is not None
    or os.environ.get('JAX_ENABLE_COMPILATION_CACHE') == '0'
  ):
    return
  # A program that was compiled for another processor can crash: so every kind of processor has its own folder.
  cpu = ''
  with contextlib.suppress(OSError):
    lines = pathlib.Path('/proc/cpuinfo').read_text().splitlines()
    cpu = next((line for line in lines if line.startswith(('flags', 'Features'))), '')
  kind = hashlib.sha256((cpu + os.environ.get('XLA_FLAGS', '')).encode()).hexdigest()[:12]
  with contextlib.suppress(UserError):  # it only saves time
    jax.config.update('jax_compilation_cache_dir', str(cache.folder(f'xla/{jaxlib.__version__}-{kind}')))
