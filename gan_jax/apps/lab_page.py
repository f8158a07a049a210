"""GAN Lab in the browser: `lab.Lab`, laid out."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gan_jax.apps import drawing, serving
from gan_jax.apps.lab import DRAWN, DYNAMICS, LOSSES, OPTIMIZERS, PENALTIES, Lab, Settings
from gan_jax.apps.plane import DISTRIBUTIONS
from gan_jax.base.errors import UserError

#: Seconds between two pictures, and steps between them at first.
EVERY, STEPS = 0.3, 20
RATES = ('1e-5', '3e-5', '1e-4', '3e-4', '1e-3', '3e-3', '1e-2', '3e-2', '1e-1')


def page() -> Any:
  """The page, `gradio.Blocks`; each visitor has a training."""
  gr = serving.gradio()
  with gr.Blocks(title='GAN Lab', analytics_enabled=False, delete_cache=(3600, 3600)) as blocks:
    gr.Markdown('## GAN Lab\nA generator and a discriminator of two small layers train on points of the plane.')
    lab, timer = gr.State(None), gr.Timer(EVERY, active=False)
    with gr.Row():
      with gr.Column(scale=2, min_width=260):
        controls = _controls(gr)
      with gr.Column(scale=4, min_width=420):
        with gr.Row():
          play = gr.Button('Play', variant='primary', elem_id='play', min_width=80)
          one = gr.Button('Step', elem_id='step', min_width=80)
          again = gr.Button('Start again', elem_id='again', min_width=80)
        plane = gr.HTML(elem_id='plane')
        gr.HTML(drawing.legend())
        speed = gr.Slider(1, 200, STEPS, step=1, label='Steps between two pictures', elem_id='speed')
      with gr.Column(scale=3, min_width=320):
        status = gr.Markdown(elem_id='status')
        curves = gr.HTML()
        with gr.Accordion('Draw your own data', open=False):
          gr.Markdown('Take the pen, draw where the data should be, then press the button.')
          sketch = gr.Sketchpad(
            type='numpy', image_mode='RGBA', layers=False, canvas_size=(320, 320), height=400, show_label=False,
            transforms=(), brush=gr.Brush(default_size=14, colors=['#000000'], color_mode='fixed'), elem_id='pad',
          )  # fmt: skip
          use = gr.Button('Train on the drawing', elem_id='use-drawing')
    seen = [plane, curves, status]

    def begin(*values: Any) -> tuple[Any, ...]:
      made = Lab(settings_of(*values))
      return (made, *look(made))

    def change(lab: Lab, *values: Any) -> tuple[Any, ...]:
      return changed(lab, lambda: lab.change(settings_of(*values, drawn=lab.drawing is not None)))

    def draw(lab: Lab, sketch: Any) -> tuple[Any, ...]:
      def taken() -> None:
        lab.draw(ink_of(sketch))
        lab.refused = ''  # it may say that there is no drawing

      seen = after(lab, taken)
      return (gr.skip() if lab is None else lab.settings.distribution, *seen)

    def toggle(label: str) -> tuple[Any, Any]:
      playing = label == 'Play'
      return gr.Timer(active=playing), gr.Button('Pause' if playing else 'Play')

    blocks.load(begin, controls, [lab, *seen])
    quiet = dict(show_progress='hidden', concurrency_limit=None)
    advance = lambda lab, steps: after(lab, lambda: lab.advance(int(steps)))
    timer.tick(advance, [lab, speed], seen, trigger_mode='once', **quiet)
    one.click(lambda lab: advance(lab, 1), [lab], seen, **quiet)
    play.click(toggle, [play], [timer, play], **quiet)
    again.click(lambda lab: after(lab, lambda: lab.reset()), [lab], seen, **quiet)
    use.click(draw, [lab, sketch], [controls[0], *seen], **quiet)
    for control in controls:
      control.input(change, [lab, *controls], seen, show_progress='minimal', concurrency_limit=None)
  return blocks


def _controls(gr: Any) -> list[Any]:
  """The controls in the order of `Settings`."""
  first = Settings()
  choice = lambda label, known, value: gr.Dropdown(list(known), value=value, label=label, min_width=120)
  rate = lambda value: gr.Dropdown(
    list(RATES), value=f'{value:.0e}'.replace('e-0', 'e-'), label='learning rate', allow_custom_value=True, min_width=90
  )
  moves = lambda value: gr.Slider(1, 10, value, step=1, label='moves of a step')
  found = [
    choice('Data', (*DISTRIBUTIONS, DRAWN), first.distribution),
    choice('Loss', LOSSES, first.loss),
    choice('Penalty on the discriminator', PENALTIES, first.penalty),
    choice('Players move', DYNAMICS, first.dynamics),
  ]
  gr.Markdown('**Generator**')
  with gr.Row():
    generator = [choice('optimizer', OPTIMIZERS, first.generator_optimizer), rate(first.generator_rate)]
  generator.append(moves(first.generator_moves))
  gr.Markdown('**Discriminator**')
  with gr.Row():
    discriminator = [choice('optimizer', OPTIMIZERS, first.discriminator_optimizer), rate(first.discriminator_rate)]
  discriminator.append(moves(first.discriminator_moves))
  return found + [entry for pair in zip(generator, discriminator, strict=True) for entry in pair]


def settings_of(*values: Any, drawn: bool = False) -> Settings:
  """The settings of the controls' values, in the order of `Settings`.

  Args:
    *values: rates as text, moves as numbers.
    drawn: whether there is a drawing to train on.

  Raises:
    UserError: a learning rate is no number, or the drawing is chosen before there is one.
  """
  found = Settings(*values)
  if found.distribution == DRAWN and not drawn:
    raise UserError('there is no drawing yet: draw one, then press "Train on the drawing"')
  try:
    rates = [float(rate) for rate in (found.generator_rate, found.discriminator_rate)]
  except (TypeError, ValueError) as error:
    raise UserError(f'a learning rate must be a number, such as 1e-3 ({error})') from error
  return found._replace(
    generator_rate=rates[0],
    discriminator_rate=rates[1],
    generator_moves=int(found.generator_moves),
    discriminator_moves=int(found.discriminator_moves),
  )


def after(lab: Lab | None, change: Callable[[], Any]) -> tuple[str, str, str]:
  """What is seen after a change, or why there was none."""
  if lab is None:  # a page of a program that has started again since
    return '', '', '**This page is of another session: load it anew.**'
  with lab.lock:
    try:
      change()
    except UserError as error:
      return look(lab, str(error))
    return look(lab)


def changed(lab: Lab, change: Callable[[], Any]) -> tuple[str, str, str]:
  """As `after`, of the controls. What was refused is told until they are taken: the next steps follow soon."""

  def accepted() -> None:
    lab.refused = ''
    try:
      change()
    except UserError as error:
      lab.refused = str(error)

  return after(lab, accepted)


def look(lab: Lab, message: str = '') -> tuple[str, str, str]:
  """(the plane, the curves, a line on where the training is or what is wrong)."""
  status = f'**{message}**' if message else f'Step {lab.step:,}'
  if lab.refused and not message:
    status += f'. The controls are not taken: **{lab.refused}**'
  return drawing.plane(lab.view()), drawing.curves(lab.history, lab.floor), status


def ink_of(sketch: Any) -> np.ndarray:
  """(H, W) how dark a drawing is: what the pad gives, {'composite': (H, W, 4) uint8}.

  Raises:
    UserError: nothing is drawn.
  """
  composite = None if sketch is None else sketch.get('composite')
  if composite is None:
    raise UserError('the drawing is empty: draw where the data should be')
  pixels = np.asarray(composite, np.float64)
  opaque = pixels[..., 3] / 255 if pixels.shape[-1] == 4 else np.ones(pixels.shape[:2])
  dark = 1 - pixels[..., :3].mean(-1) / 255
  # On a clear ground all that is there is ink; on white the dark.
  ink: np.ndarray = opaque if opaque.min() < 0.5 else dark
  return ink
