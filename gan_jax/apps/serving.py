"""Gradio, and a page of it on a port of this machine."""

import functools
import os
from typing import Any

from gan_jax.base import console
from gan_jax.base.errors import UserError, short

#: Of letters that every system has: a page loads nothing from elsewhere.
FONTS = ('system-ui', 'sans-serif')
INSTALL = "pip install 'gan_jax[app]'"
CSS = """
.gradio-container {width: 100% !important; max-width: 1400px !important; margin: auto}
.gradio-container main {width: 100%; max-width: none}
.grid-of-samples img {image-rendering: pixelated; cursor: pointer}
footer {display: none !important}
"""


def gradio() -> Any:
  """The module `gradio`, which sends nothing to its makers.

  Raises:
    UserError: it is not installed, or is too old.
  """
  os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
  os.environ.setdefault('HF_HUB_DISABLE_TELEMETRY', '1')
  try:
    import gradio
  except ImportError as error:
    raise UserError(f'gan_jax.app needs gradio, which is not installed ({error}): {INSTALL}') from error
  if int(gradio.__version__.partition('.')[0]) < 6:
    raise UserError(f'gan_jax.app needs gradio 6, but {gradio.__version__} is installed: {INSTALL}')
  return gradio


def serve(page: Any, host: str, port: int, *, wait: bool = True) -> str:
  """Serves a page until the process ends.

  Args:
    page: `gradio.Blocks`.
    host: 127.0.0.1 for this machine alone, 0.0.0.0 for all that reach it.
    port: of the host; 0 for any that is free.
    wait: for the end of the process; else it serves beside what comes next.

  Returns:
    The address.

  Raises:
    UserError: nothing can be served there.
  """
  gr = gradio()
  theme = gr.themes.Default(font=FONTS, font_mono=('ui-monospace', 'monospace'))
  try:
    _, address, _ = page.queue().launch(
      server_name=host,
      server_port=port or None,
      share=False,
      inbrowser=False,
      quiet=True,
      show_error=True,
      prevent_thread_lock=True,
      ssr_mode=False,
      theme=theme,
      css=CSS,
      footer_links=[],
    )
  except (OSError, OverflowError) as error:
    raise UserError(f'cannot serve on --host={host} --port={port} ({short(error)}): choose others') from error
  console.say(f'{address}  (Ctrl-C ends it)')
  if wait:
    page.block_thread()
  return str(address)


def shown(function: Any) -> Any:
  """The function, with an error that the user can mend as a message on the page."""
  gr = gradio()

  @functools.wraps(function)
  def call(*args: Any) -> Any:
    try:
      return function(*args)
    except UserError as error:
      raise gr.Error(str(error), print_exception=False, duration=8) from error

  return call
