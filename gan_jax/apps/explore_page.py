"""The page of a run in the browser: `explore.Explorer`, laid out."""

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from gan_jax.apps import serving
from gan_jax.apps.explore import Choice, Explorer
from gan_jax.base.errors import UserError
from gan_jax.sampling.conditions import Asked

#: How far a slider goes to each side, standard deviations.
REACH = 5
#: A condition of more numbers is not offered: nobody types them.
MOST = 8
ANY = 'any'
#: {kind of truncation: (label, lowest, highest, step)}.
TRUNCATIONS = {
  'psi': ('Truncation psi: 1 for all variety, towards 0 the mean', 0.05, 1.0, 0.01),
  'threshold': ('Truncation: latents within this number, 3 for all', 0.1, 3.0, 0.05),
}


def page(explorer: Explorer) -> Any:
  """The page, `gradio.Blocks`."""
  gr = serving.gradio()
  run = explorer.run
  member = '' if run.member is None else f', member {run.member}'
  title = f'{run.workdir.name}: {type(run.stage.game).__name__}, step {run.step:,}{member}'
  with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(3600, 3600)) as blocks:
    gr.Markdown(f'## {title}')
    for note in explorer.notes:
      gr.Markdown(note)
    controls: dict[str, Any] = {}
    with gr.Row():
      with gr.Column(scale=2, min_width=300):
        _controls(gr, explorer, controls)
      with gr.Column(scale=4, min_width=420):
        _results(gr, blocks, explorer, controls)
  return blocks


def _controls(gr: Any, explorer: Explorer, controls: dict[str, Any]) -> None:
  """Adds {name: control} of what `choice_of` reads."""
  if explorer.drawn:
    with gr.Row():
      controls['seed'] = gr.Number(0, label='Seed', precision=0, min_width=90, elem_id='seed')
      other = gr.Button('Another', elem_id='another', min_width=90)
    other.click(lambda seed: int(seed or 0) + 1, [controls['seed']], [controls['seed']], show_progress='hidden')
  controls['count'] = gr.Dropdown(list(explorer.counts), value=explorer.counts[1], label='Samples', elem_id='count')
  if len(explorer.outputs) > 1 and explorer.pictures:
    controls['output'] = gr.Dropdown(explorer.outputs, value=explorer.outputs[0], label='What is shown')
  for name, asked in explorer.asked.items():
    if asked.size > MOST:
      continue
    controls[f'condition {name}'] = _condition(gr, name, asked)
  if explorer.truncation:
    (label, low, high, step), own = TRUNCATIONS[explorer.truncation], untouched(explorer)
    low, high = min(low, own), max(high, own)
    controls['truncation'] = gr.Slider(low, high, own, step=step, label=label, elem_id='truncation')
  if explorer.averaged:
    controls['ema'] = gr.Checkbox(True, label='Running averages of the weights')
  found = explorer.directions
  if found is not None:
    gr.Markdown(f'**Main directions of the {found.space}**, in standard deviations')
    sliders = []
    for i, share in enumerate(found.shares):
      label = f'{i + 1}: {100 * share:.0f} % of the variance'
      sliders.append(gr.Slider(-REACH, REACH, 0, step=0.1, label=label, elem_id=f'direction-{i + 1}'))
      controls[f'direction {i}'] = sliders[-1]
    gr.Button('All to 0', size='sm').click(lambda: [0] * len(sliders), None, sliders, show_progress='hidden')


def _condition(gr: Any, name: str, asked: Asked) -> Any:
  how = dict(label=name, elem_id=f'condition-{name}')
  if asked.kind in ('class', 'attribute'):
    known = asked.choices if asked.kind == 'class' else ('1', '0')
    shown = [(ANY, ''), *(({'1': 'yes', '0': 'no'}[c] if asked.kind == 'attribute' else c, c) for c in known)]
    return gr.Dropdown(shown, value='', **how)
  if asked.kind == 'number':
    return gr.Number(None, **how)
  size = f'{asked.size} numbers with spaces between' if asked.size else 'numbers with spaces between'
  return gr.Textbox('', placeholder=f'{ANY}' if asked.kind == 'text' else f'{ANY}, or {size}', **how)


def untouched(explorer: Explorer) -> float:
  """The truncation that leaves the game as it is: psi of its generator, or the largest threshold."""
  return round(explorer.psi, 2) if explorer.truncation == 'psi' else TRUNCATIONS['threshold'][2]


def choice_of(explorer: Explorer, values: Mapping[str, Any]) -> Choice:
  """The choice of the controls' values.

  Raises:
    UserError: the seed is no whole number from 0.
  """
  seed = values.get('seed', 0)
  if seed is None or int(seed) != seed or seed < 0:
    raise UserError(f'seed={seed} must be a whole number, at least 0')
  truncation = values.get('truncation', 0.0)
  if explorer.truncation and truncation == untouched(explorer):
    truncation = 0.0
  asked = [(name.partition(' ')[2], value) for name, value in values.items() if name.startswith('condition ')]
  return Choice(
    seed=int(seed),
    count=int(values['count']),
    truncation=float(truncation),
    condition=tuple((name, value) for name, value in asked if value not in (None, '')),
    amounts=tuple(float(value) for name, value in values.items() if name.startswith('direction ')),
    output=values.get('output', ''),
    ema=bool(values.get('ema', True)),
  )


def _results(gr: Any, blocks: Any, explorer: Explorer, controls: dict[str, Any]) -> None:
  names, values = list(controls), list(controls.values())
  choice = lambda given: choice_of(explorer, dict(zip(names, given, strict=True)))
  keep = ['download', 'fullscreen']  # and not 'share', which uploads
  show = dict(type='pil', format='png', interactive=False, show_label=False, container=False, buttons=keep)
  chosen, opened = gr.State((0, 1)), gr.State('way')
  ready = not explorer.lacks_data
  if explorer.streams:
    _translation(gr, explorer, values, choice)
  if not ready:
    return
  if explorer.single:
    gr.Markdown('A click chooses a sample: the last two have a frame, the newer one orange.')
  elif explorer.streams:
    gr.Markdown('**Examples of the data**, of what was held out of the training where there is such')
  grid = gr.Image(elem_id='grid', elem_classes='grid-of-samples' if explorer.single else 'drawing', **show)
  below: dict[str, Any] = {}
  if explorer.single:
    with gr.Tabs() as tabs:
      for name, title in _tabs(explorer).items():
        with gr.Tab(title, id=name):
          below[name] = gr.Image(elem_id=name, elem_classes='grid-of-samples', **show)
    note = gr.Markdown()

  def draw(pair: Sequence[int], name: str, *given: Any) -> Any:
    made = choice(given)
    pair = tuple(min(i, made.count - 1) for i in pair)
    first = explorer.grid(made, pair)
    return [first, *more(made, pair, name)] if explorer.single else first

  def more(made: Choice, pair: Sequence[int], name: str) -> list[Any]:
    """The pictures below, of which the opened one changes, and a line if it cannot be drawn."""
    drawn: dict[str, Any] = {tab: gr.skip() for tab in below}
    line = ''
    try:
      drawn[name] = _below(explorer, made, pair, name)
    except UserError as error:
      drawn[name], line = None, str(error)
    return [*drawn.values(), line]

  outputs = [grid, *below.values(), note] if explorer.single else [grid]
  first_tab = next(iter(below), '')
  opened.value = first_tab
  inputs = [chosen, opened, *values]
  how = dict(show_progress='minimal', trigger_mode='always_last', concurrency_limit=1, concurrency_id='samples')
  blocks.load(serving.shown(draw), inputs, outputs, **how)
  for control in values:
    control.change(serving.shown(draw), inputs, outputs, **how)
  if not explorer.single:
    return

  def choose(pair: Sequence[int], event: Any, name: str, *given: Any) -> Any:
    made = choice(given)
    index = explorer.at(made, *event.index)
    pair = (index, pair[0]) if index != pair[0] else tuple(pair)
    return [pair, *draw(pair, name, *given)]

  def on_select(event: gr.SelectData, pair: Any, name: str, *given: Any) -> Any:
    return serving.shown(choose)(pair, event, name, *given)

  grid.select(on_select, inputs, [chosen, *outputs], **how)
  for tab, title in zip(below, tabs.children, strict=True):

    def opening(pair: Any, *given: Any, tab: str = tab) -> Any:
      return [tab, *more(choice(given), pair, tab)]

    title.select(serving.shown(opening), [chosen, *values], [opened, *below.values(), note], **how)


def _tabs(explorer: Explorer) -> dict[str, str]:
  """{name: title} of the pictures that are drawn of chosen samples."""
  tabs = {'way': 'From one to the other', 'nearest': 'Nearest training pictures'}
  if explorer.attention:
    tabs['attention'] = 'Attention'
  return tabs


def _below(explorer: Explorer, made: Choice, pair: Sequence[int], name: str) -> Image.Image:
  pair = tuple(min(i, made.count - 1) for i in pair)  # fewer samples may have been asked for since
  if name == 'way':
    return explorer.way(made, pair[1], pair[0])
  return explorer.nearest(made, pair[0]) if name == 'nearest' else explorer.attention_maps(made, pair[0])


def _translation(gr: Any, explorer: Explorer, values: list[Any], choice: Any) -> None:
  """A place to drop a picture, and what is made of it."""
  gr.Markdown('**Your own picture**')
  with gr.Row():
    dropped = gr.Image(
      type='pil', image_mode=None, label='Drop a picture', sources=['upload', 'clipboard'], height=300, elem_id='drop'
    )
    made = gr.Gallery(
      label='What is made of it', format='png', height=300, columns=3, object_fit='contain', elem_id='made'
    )
  stream = gr.Radio(
    list(explorer.streams),
    value=explorer.streams[0],
    label='It stands for',
    visible=len(explorer.streams) > 1,
  )

  def translate(picture: Any, stream: str, *given: Any) -> Any:
    if picture is None:
      return []
    return [(drawn, name) for name, drawn in explorer.translate(picture, stream, choice(given)).items()]

  how = dict(show_progress='minimal', trigger_mode='always_last', concurrency_limit=1, concurrency_id='samples')
  for control in (dropped, stream, *values):
    control.change(serving.shown(translate), [dropped, stream, *values], [made], **how)
