# %% [markdown]
# # GANs in two dimensions
#
# In the plane one can see everything: the data, the samples, the surface that the discriminator draws, and the way in
# which its gradient pushes the samples. Networks and losses are those that the big systems use. The outputs below
# were made on a CPU with two cores; it works on any number of devices.

# %%
import flax.linen as nn
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

from gan_jax import core
from gan_jax.data.sources.builtin import ring_centers
from gan_jax.games.parts.penalties import GradientPenalty
from gan_jax.games.standard import Standard
from gan_jax.latents.distributions import Normal
from gan_jax.metrics.modes import mixture_coverage
from gan_jax.nets import mlp
from gan_jax.optim import dynamics

plt.rcParams.update({'figure.dpi': 55, 'image.cmap': 'RdBu_r', 'axes.titlesize': 11})
BATCH, WIDTH, STDDEV = 256, 128, 0.05
CENTRES = jnp.asarray(ring_centers(), jnp.float32)


def data(key, count):
  """Points of 8 Gaussians on a circle, (count, 2)."""
  which, noise = jax.random.split(key)
  centres = CENTRES[jax.random.randint(which, (count,), 0, len(CENTRES))]
  return centres + STDDEV * jax.random.normal(noise, (count, 2))


# %% [markdown]
# ## One GAN, watched
#
# `Standard` is the game of two players. `core.make_step` makes its step, a pure function; we play hundreds of steps
# in one `lax.scan`, and stop from time to time to look.


# %%
def adam(rate=1e-3, b1=0.0):
  return optax.adam(rate, b1=b1)


def train(game, times, optimizers=None, seed=0):
  """Trains a game and returns the states at some times."""
  optimizers = optimizers or {'generator': adam(), 'discriminator': adam()}
  moves = sum(turn.repeat for turn in game.turns if turn.streams is None)
  batch = {'images': {'image': data(jax.random.key(0), BATCH)}, 'latents': jnp.zeros((BATCH, 2))}
  state = core.init(game, optimizers, batch, jax.random.key(seed))
  step = core.make_step(game, optimizers, streams=('images',), latents_batch=BATCH)

  def body(state, key):
    points = data(key, moves * BATCH).reshape(moves, BATCH, 2)
    return step(state, {'images': {'image': points}}, jax.random.key(seed))[0], None

  some = jax.jit(lambda state, keys: jax.lax.scan(body, state, keys)[0])
  states, done = [], 0
  for time in times:
    # Chunks of one length, so that one program serves all.
    for keys in jax.random.split(jax.random.fold_in(jax.random.key(seed), time), (time - done) // times[0]):
      state = some(state, jax.random.split(keys, times[0]))
    states, done = [*states, state], time
  return states


def networks(game, state):
  """(samples (1000, 2), the discriminator as a function of points)."""
  variables = core.game_variables(game, state)
  z = jax.random.normal(jax.random.key(7), (1000, 2))
  return game.apply(variables, {'latents': z}, method='sample'), lambda x: game.apply(variables, x, method='logits')


def draw(axis, game, state, title=''):
  """Data in grey, samples in black, D(x) from blue (fake) to red (real), arrows along the gradient at the samples."""
  samples, critic = networks(game, state)
  side = jnp.linspace(-1.6, 1.6, 80)
  points = jnp.stack(jnp.meshgrid(side, side), -1).reshape(-1, 2)
  logits = jax.jit(critic)(points).reshape(80, 80)
  axis.contourf(side, side, jax.nn.sigmoid(logits - jnp.median(logits)), np.linspace(0, 1, 13), alpha=0.7)
  real = data(jax.random.key(1), 300)
  axis.plot(*real.T, '.', color='grey', markersize=2)
  axis.plot(*samples.T, 'k.', markersize=2)
  arrows = jax.jit(jax.grad(lambda x: critic(x).sum()))(samples[:50])
  arrows = 0.3 * arrows / (jnp.linalg.norm(arrows, axis=1).max() + 1e-9)
  axis.quiver(*samples[:50].T, *arrows.T, angles='xy', scale_units='xy', scale=1, width=0.006, color='darkgreen')
  covered = mixture_coverage(np.asarray(samples), np.asarray(CENTRES), STDDEV)
  axis.set_title(f'{title}\n{covered.modes} of 8 modes' if title else f'{covered.modes} of 8 modes')
  axis.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xticks=[], yticks=[], aspect='equal')


def game_of(**settings):
  generator = mlp.Generator((WIDTH, WIDTH), (2,), 'identity')
  return Standard(generator, mlp.Discriminator((WIDTH, WIDTH)), Normal((2,)), **settings)


# %%
TIMES = (150, 450, 1050, 2400)  # quick: (2, 4)
game = game_of(loss='nonsaturating')
states = train(game, TIMES)
figure, axes = plt.subplots(1, len(TIMES), figsize=(4 * len(TIMES), 4.4))
for axis, time, state in zip(axes, TIMES, states, strict=True):
  draw(axis, game, state, f'step {time}')
figure.tight_layout()

# %% [markdown]
# The arrows show where the discriminator sends each sample: uphill in its surface. When a mode has samples enough,
# the surface there becomes flat, and the arrows become short.
#
# ## Minimax or non-saturating
#
# GAN 2014 has one value, V(D, G) = E[log D(x)] + E[log(1 - D(G(z)))]. Early, when the discriminator wins, log(1 - D)
# is flat, and the generator learns nothing: it **saturates**. So its section 3 proposes to maximise log D(G(z))
# instead. Both gradients, by what the discriminator says of a sample:

# %%
from gan_jax import losses

logit = jnp.linspace(-6, 6, 200)
figure, axis = plt.subplots(figsize=(6, 3.2))
for name in ('minimax', 'nonsaturating', 'least_squares', 'hinge'):
  slope = jax.vmap(jax.grad(lambda one, name=name: getattr(losses, name).generator(one[None])))(logit)
  axis.plot(logit, -slope, label=name)
axis.set(xlabel="the discriminator's logit of a sample: left, surely fake", ylabel='push on the sample', ylim=(-1, 3))
axis.legend()
figure.tight_layout()

# %% [markdown]
# Now with a discriminator that is well ahead: it moves 10 times for each move of the generator.

# %%
LATE = 500  # quick: 2
figure, axes = plt.subplots(1, 2, figsize=(8, 4.6))
for axis, loss in zip(axes, ('minimax', 'nonsaturating'), strict=True):
  game = game_of(loss=loss, discriminator_steps=10)
  draw(axis, game, train(game, (LATE,))[-1], f'{loss}, step {LATE}')
figure.tight_layout()

# %% [markdown]
# ## Collapse, and what helps
#
# With momentum (Adam's b1 = 0.9) and a generator that moves 5 times for each move of the discriminator, all samples
# run after one mode, and when the discriminator has learnt it, they run to the next: **mode collapse**. With equal
# moves they still run for long (the second picture; after some hundred steps more they settle). Two cures: no
# momentum, though the moves are as unequal as in the first picture; and the critic of WGAN-GP, which moves 5 times
# for each move of the generator. More are in `docs/library.md`: packs of examples, minibatch layers, R1.

# %%
STEPS = 1500  # quick: 2
heavy = {'generator': adam(b1=0.9), 'discriminator': adam(b1=0.9)}
calm = {'generator': adam(), 'discriminator': adam()}
cases = {
  'momentum, 5 moves to 1': (game_of(generator_steps=5), heavy),
  'momentum, equal moves': (game_of(), heavy),
  'no momentum, 5 moves to 1': (game_of(generator_steps=5), calm),
  'WGAN-GP': (game_of(loss='wasserstein', penalty=GradientPenalty(1.0), discriminator_steps=5), calm),
}
figure, axes = plt.subplots(1, 4, figsize=(16, 4.6))
for axis, (title, (game, optimizers)) in zip(axes, cases.items(), strict=True):
  draw(axis, game, train(game, (STEPS,), optimizers)[-1], title)
figure.tight_layout()

# %% [markdown]
# ## The smallest GAN: the Dirac game
#
# Data are one point, 0. The generator is one number, theta, where it puts its point; the discriminator is a line of
# slope psi, D(x) = psi x (Mescheder et al. 2018). With the Wasserstein loss the game is min over theta, max over psi
# of -theta psi: its field turns round the equilibrium, it does not lead there. So what happens is the optimizer's
# doing.

# %%
field = lambda p: {'theta': -p['psi'], 'psi': p['theta']}
RATE, MOVES = 0.2, 60
rules = {
  'simultaneous': lambda p: dynamics.simultaneous(field, p),
  'extragradient': lambda p: dynamics.extragradient(field, p, rate=RATE),
  'consensus, weight 0.5': lambda p: dynamics.consensus(field, p, weight=0.5),
}


def alternating(p):
  """First psi moves, then theta, which sees the new psi: what GANs usually do."""
  p = {**p, 'psi': p['psi'] - RATE * field(p)['psi']}
  return {**p, 'theta': p['theta'] - RATE * field(p)['theta']}


def path(move):
  p, points = {'theta': jnp.float32(1.0), 'psi': jnp.float32(0.0)}, []
  for _ in range(MOVES):
    points.append((float(p['theta']), float(p['psi'])))
    p = move(p)
  return np.array(points)


moves = {
  name: jax.jit(lambda p, rule=rule: jax.tree.map(lambda x, d: x - RATE * d, p, rule(p)))
  for name, rule in rules.items()
}
moves = {'simultaneous': moves.pop('simultaneous'), 'alternating': jax.jit(alternating), **moves}
figure, axes = plt.subplots(1, 4, figsize=(16, 4.4))
side = np.linspace(-2.2, 2.2, 12)
theta, psi = np.meshgrid(side, side)
for axis, (name, move) in zip(axes, moves.items(), strict=True):
  p = {'theta': jnp.asarray(theta, jnp.float32), 'psi': jnp.asarray(psi, jnp.float32)}
  after = move(p)
  axis.quiver(theta, psi, after['theta'] - p['theta'], after['psi'] - p['psi'], color='grey', width=0.005)
  points = path(move)
  axis.plot(*points.T, 'o-', markersize=2, linewidth=1)
  axis.plot(0, 0, 'k+', markersize=12)
  distance = float(np.linalg.norm(points[-1]))
  axis.set(xlim=(-2.4, 2.4), ylim=(-2.4, 2.4), aspect='equal', xlabel='theta', ylabel='psi')
  axis.set_title(f'{name}: {distance:.2f} from 0')
figure.tight_layout()

# %% [markdown]
# Simultaneous steps leave, by a factor of sqrt(1 + rate^2) each; alternating ones circle for ever; extragradient,
# which looks one step ahead, and consensus, which also descends the field's own norm, arrive.
#
# ## A VAE beside it
#
# A variational auto-encoder fits the same points by maximum likelihood, with an encoder in place of a discriminator.
# It has no game and cannot lose a mode cheaply; but it pays for any point that it does not cover, so its samples also
# lie between the modes, where there are no data.


# %%
class VAE(nn.Module):
  """Kingma and Welling 2013, https://arxiv.org/abs/1312.6114, with the networks of the GAN above."""

  @nn.compact
  def __call__(self, x, key):
    code = mlp.Generator((WIDTH, WIDTH), (4,), 'identity', name='encoder')(x, train=True)
    mean, log_stddev = code[:, :2], code[:, 2:]
    z = mean + jnp.exp(log_stddev) * jax.random.normal(key, mean.shape)
    decoded = mlp.Generator((WIDTH, WIDTH), (2,), 'identity', name='decoder')(z, train=True)
    log_scale = self.param('log_scale', nn.initializers.constant(-2.0), ())
    fit = 0.5 * jnp.square((x - decoded) / jnp.exp(log_scale)).sum(1) + 2 * log_scale
    return fit.mean() + losses.reconstruction.conditioning_kl(mean, log_stddev)


VAE_STEPS = 2000  # quick: 2
vae, tx = VAE(), optax.adam(1e-3)
params = vae.init(jax.random.key(0), data(jax.random.key(0), BATCH), jax.random.key(1))


def vae_step(carry, key):
  params, state = carry
  data_key, noise = jax.random.split(key)
  loss, gradients = jax.value_and_grad(lambda p: vae.apply(p, data(data_key, BATCH), noise))(params)
  updates, state = tx.update(gradients, state, params)
  return (optax.apply_updates(params, updates), state), loss


keys = jax.random.split(jax.random.key(2), VAE_STEPS)
(params, _), _ = jax.jit(lambda carry: jax.lax.scan(vae_step, carry, keys))((params, tx.init(params)))
z, noise = jax.random.normal(jax.random.key(3), (2, 1000, 2))
decode = mlp.Generator((WIDTH, WIDTH), (2,), 'identity')
samples = decode.apply({'params': params['params']['decoder']}, z, train=False)
samples = np.asarray(samples + jnp.exp(params['params']['log_scale']) * noise)
game = game_of(loss='nonsaturating')
made = np.asarray(networks(game, states[-1])[0])
figure, axes = plt.subplots(1, 3, figsize=(12, 4.4))
shown = {'data': np.asarray(data(jax.random.key(4), 1000)), 'GAN': made, 'VAE': samples}
for axis, (title, points) in zip(axes, shown.items(), strict=True):
  covered = mixture_coverage(points, np.asarray(CENTRES), STDDEV)
  axis.plot(*points.T, '.', markersize=2)
  axis.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xticks=[], yticks=[], aspect='equal')
  axis.set_title(f'{title}: {covered.modes} of 8 modes, {100 * covered.quality:.0f} % of points in one')
figure.tight_layout()

# %% [markdown]
# A ring of narrower modes (their deviation is 0.02) trains by the command, with pictures, checkpoints and figures:
# `python -m gan_jax.main --config configs/gan.py:ring --workdir runs/ring`.
