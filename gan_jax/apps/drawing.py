"""GAN Lab's pictures as SVG text: sharp at every size, and drawn anew without files."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from gan_jax.apps.lab import Row, View
from gan_jax.apps.plane import EXTENT

#: Colours of data and of samples; the surface goes from the samples' to white to the data's.
DATA, SAMPLES, PUSHES = '#1f6fb4', '#d9650a', '#7a2c00'
FAKE, REAL = np.array([255, 190, 130]), np.array([150, 195, 240])
#: Side of the plane, and width and height of a curve, units of the SVG.
PLANE, WIDE, HIGH = 600, 420, 170


#: {name: (colour, values)}.
Lines = dict[str, tuple[str, list[float]]]


def plane(view: View) -> str:
  """Data, samples, the discriminator's surface and the pushes on the samples, as one SVG."""
  scale = lambda points: (np.clip(points, -1.2 * EXTENT, 1.2 * EXTENT) / EXTENT * [[0.5, -0.5]] + 0.5) * PLANE
  data, samples = scale(view.data), scale(view.samples)
  length = np.linalg.norm(view.pushes, axis=1, keepdims=True)
  # Arrows of all lengths are seen: short ones as they are, none longer than 0.3.
  ends = scale(view.samples[: len(view.pushes)] + 0.3 * view.pushes / (1 + length))
  lines = ''.join(f'M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}' for (a, b), (c, d) in zip(samples, ends, strict=False))
  return (
    f'<svg id="lab-plane" viewBox="0 0 {PLANE} {PLANE}" style="width:100%;max-width:640px;background:white">'
    f'<image href="{_surface(view.surface)}" width="{PLANE}" height="{PLANE}" preserveAspectRatio="none"/>'
    f'<path id="lab-data" d="{_dots(data)}" stroke="{DATA}" stroke-width="4" stroke-linecap="round" opacity=".55"/>'
    f'<path d="{lines}" stroke="{PUSHES}" stroke-width="1.5" fill="none" opacity=".8"/>'
    f'<path id="lab-samples" d="{_dots(samples)}" stroke="{SAMPLES}" stroke-width="5" stroke-linecap="round"/>'
    '</svg>'
  )


def legend() -> str:
  """What the colours of the plane mean."""
  dot = lambda colour, text: f'<span style="color:{colour}">&#9679;</span> {text}'
  patch = lambda colour, text: f'<span style="color:rgb({",".join(map(str, colour))})">&#9632;</span> {text}'
  parts = (
    dot(DATA, 'data'),
    dot(SAMPLES, 'samples'),
    f'<span style="color:{PUSHES}">&#8212;</span> where the loss pushes them',
    patch(REAL, 'D says real'),
    patch(FAKE, 'D says fake'),
  )
  return f'<div style="display:flex;flex-wrap:wrap;gap:.2em 1.2em;padding:.3em 0">{"".join(map(_nowrap, parts))}</div>'


def _nowrap(text: str) -> str:
  return f'<span style="white-space:nowrap">{text}</span>'


def curves(history: Sequence[Row], floor: float) -> str:
  """The losses, and the divergence with its floor, below each other."""
  steps = [row.step for row in history]
  generator = [row.generator for row in history]
  discriminator = [row.discriminator for row in history]
  losses = _curve('losses', steps, {'generator': (SAMPLES, generator), 'discriminator': ('#444444', discriminator)})
  apart = {'samples': (SAMPLES, [row.divergence for row in history]), 'data from data': (DATA, [floor] * len(steps))}
  return losses + _curve('Jensen-Shannon divergence, nats', steps, apart, low=0.0)


def _curve(
  title: str, steps: Sequence[int], lines: dict[str, tuple[str, list[float]]], low: float | None = None
) -> str:
  values = [value for _, line in lines.values() for value in line if np.isfinite(value)]
  bottom = min(values, default=0.0) if low is None else low
  top = max(max(values, default=1.0), bottom + 1e-3)
  first, last = (steps[0], max(steps[-1], steps[0] + 1)) if steps else (0, 1)
  left, right, above, below = 52, 8, 40, 20
  x = lambda step: left + (step - first) / (last - first) * (WIDE - left - right)
  y = lambda value: above + (top - value) / (top - bottom) * (HIGH - above - below)
  drawn, names = [], []
  for place, (name, (colour, line)) in enumerate(lines.items()):
    points = ' '.join(f'{x(s):.1f},{y(v):.1f}' for s, v in zip(steps, line, strict=True) if np.isfinite(v))
    drawn.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    now = f' {line[-1]:.3f}' if line and np.isfinite(line[-1]) else ''
    names.append(f'<text x="{left + 170 * place}" y="32" fill="{colour}" font-size="13">{name}{now}</text>')
  small = 'font-size="11" fill="currentColor"'
  axis = ''.join(
    f'<text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end" {small}>{value:.2f}</text>'
    f'<path d="M{left} {y(value):.1f}H{WIDE - right}" stroke="currentColor" opacity=".2"/>'
    for value in (bottom, top)
  )
  ends = ''.join(
    f'<text x="{place}" y="{HIGH - 4}" text-anchor="{anchor}" {small}>{text}</text>'
    for place, anchor, text in ((left, 'start', f'step {first}'), (WIDE - right, 'end', f'{last}'))
  )
  heading = f'<text x="{left}" y="14" font-size="13" font-weight="bold" fill="currentColor">{title}</text>'
  return f'<svg viewBox="0 0 {WIDE} {HIGH}" style="width:100%">{heading}{axis}{ends}{"".join(names + drawn)}</svg>'


def _dots(points: np.ndarray) -> str:
  return ''.join(f'M{x:.1f} {y:.1f}h0' for x, y in points)


def _surface(surface: np.ndarray) -> str:
  """A surface (H, W) of 0 to 1 as a picture in the text."""
  share = np.clip(np.nan_to_num(np.asarray(surface, np.float64), nan=0.5), 0, 1)[..., None]
  white = np.array([255, 255, 255])
  ends = np.where(share > 0.5, REAL.reshape(1, 1, 3), FAKE.reshape(1, 1, 3))
  pixels = white.reshape(1, 1, 3) + np.abs(2 * share - 1) * (ends - white.reshape(1, 1, 3))
  file = io.BytesIO()
  Image.fromarray(pixels.round().astype(np.uint8)).resize((300, 300), Image.Resampling.BICUBIC).save(file, 'PNG')
  return 'data:image/png;base64,' + base64.b64encode(file.getvalue()).decode()
