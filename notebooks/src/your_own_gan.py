# %% [markdown]
# # Your own GAN in one cell
#
# A GAN here is a **game**: a Flax Linen module. Its children are the networks, its methods are the losses, its turns
# say who moves when. There is no training loop to write and no registry to enter. The outputs below were made on a
# CPU with two cores; it works on any number of devices.

# %% [markdown]
# ## A new game
#
# Suppose we want a GAN whose generator must also let a third network, the **reader**, find the latents again in the
# picture. (This is the idea of InfoGAN and of BiGAN's relatives.) Reader and generator move together; the
# discriminator plays against the generator.
#
# - The name of a network says which player owns it: `generator`, `discriminator`, `reader`.
# - A turn names its movers and the method that they minimise. Only their parameters are differentiated, so a loss
#   needs no `stop_gradient`.
# - `sample` makes examples.

# %%
import flax.linen as nn
import jax.numpy as jnp

from gan_jax import losses
from gan_jax.core import Turn
from gan_jax.latents.distributions import Latents, Uniform


class ReaderGAN(nn.Module):
  generator: nn.Module
  discriminator: nn.Module
  reader: nn.Module
  latents: Latents = Uniform((8,))
  weight: float = 1.0

  turns = (
    Turn(movers=('discriminator',), loss='discriminator_loss'),
    Turn(movers=('generator', 'reader'), loss='generator_loss', streams=()),
  )

  def discriminator_loss(self, batch):
    real, fake = batch['images']['image'], self.generator(batch['latents'], train=True)
    real_logits, fake_logits = self.discriminator(real, train=True), self.discriminator(fake, train=True)
    return losses.hinge.discriminator(real_logits, fake_logits)

  def generator_loss(self, batch):
    z = batch['latents']
    fake = self.generator(z, train=True)
    misread = jnp.square(self.reader(fake.reshape(len(z), -1), train=True) - z).mean()
    return losses.hinge.generator(self.discriminator(fake, train=True)) + self.weight * misread, {'misread': misread}

  def sample(self, batch):
    return self.generator(batch['latents'], train=False)

  def reconstruct(self, image):
    return self.generator(self.reader(image.reshape(len(image), -1), train=False), train=False)


# %% [markdown]
# ## Its config
#
# A dictionary with a `name` builds the class of that name. A class of your own can stand there itself only through a
# module, so in a notebook we give the dotted name of this one, `__main__`. Outside of a notebook put the game into a
# file `reader.py` and write `name='reader.ReaderGAN'`; then `python -m gan_jax.main --config my_config.py` trains it.

# %%
from gan_jax import config

adam = dict(name='optax.adam', learning_rate=3e-4, b1=0.5)
WIDTH = 384  # quick: 8
STEPS = 3000  # quick: 4
settings = config.base(
  game=dict(
    name=f'{__name__}.ReaderGAN',
    weight=1.0,
    latents=dict(name='Uniform', shape=(8,), low=-1.0, high=1.0),
    generator=dict(name='mlp.Generator', hidden=(WIDTH, WIDTH), shape=(8, 8, 1), output='tanh'),
    discriminator=dict(name='mlp.Discriminator', hidden=(WIDTH, WIDTH)),
    reader=dict(name='mlp.Generator', hidden=(WIDTH, WIDTH), shape=(8,), output='identity'),
  ),
  optimizers=dict(generator=adam, discriminator=adam, reader=adam),
  ema=dict(generator=0.998, reader=0.998),
  data=config.stream(name='digits', size=8, channels=1),
  batch_size=64,
  steps=STEPS,
  log_every=STEPS // 4,
  sample_every=STEPS // 2,
  checkpoint_every=STEPS,
)

# %% [markdown]
# ## Train it

# %%
from gan_jax.training import loop

state = loop.run(settings, 'runs/reader')

# %% [markdown]
# Samples on the left. On the right rows of held-out digits and, below each, what the generator makes of what the
# reader reads in it. Nothing in the losses compares a digit with its reconstruction.

# %%
import numpy as np

from gan_jax.sampling import pictures

run = gan_jax.load('runs/reader')
images = run.examples(n=24)['image']
made = np.asarray(run.stage.game.apply(run.variables(), images, method='reconstruct'))
rows = [part for i in (0, 8, 16) for part in (images[i : i + 8], made[i : i + 8])]
samples = pictures.grid(run.sample(48), run.range, columns=8, least_side=330)
pictures.beside([samples, pictures.grid(np.concatenate(rows), run.range, columns=8, least_side=330)])

# %% [markdown]
# ## The laws of every game
#
# The tests of this library play every shipped game and check laws that any GAN must keep. You can check your own in a
# few lines. **A move changes its movers and nobody else, bit for bit**; all numbers stay finite; every player moves.

# %%
from gan_jax import core

stage = run.stage
game, optimizers = stage.game, stage.optimizers
batch = {'images': {'image': jnp.asarray(run.examples(n=16)['image'])}, 'latents': jnp.asarray(run.latents(16))}
state = core.init(game, optimizers, batch, jax.random.key(0))
same = lambda a, b: all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))
for turn in game.turns:
  move = jax.jit(lambda state, key, turn=turn: core.play(game, optimizers, turn, state, batch, key))
  after, metrics = move(state, jax.random.key(1))
  moved = [name for name in state.players if not same(state.players[name].params, after.players[name].params)]
  print(f'{turn.loss}: moved {moved}; ' + ', '.join(f'{name} {float(value):.3f}' for name, value in metrics.items()))
  assert set(moved) == set(turn.movers) and all(np.isfinite(float(value)) for value in metrics.values())
  state = after

# %% [markdown]
# **A whole step is one compiled program**: it lowers for CPU, CUDA and TPU on any machine, and the second call
# compiles nothing.

# %%
step = jax.jit(core.make_step(game, optimizers, streams=('images',), latents_batch=16))
feed = {'images': jax.tree.map(lambda x: x[None], batch['images'])}
for platform in ('cpu', 'cuda', 'tpu'):
  step.trace(state, feed, jax.random.key(2)).lower(lowering_platforms=(platform,))
for _ in range(3):
  state, metrics = step(state, feed, jax.random.key(2))
print(core.means(metrics))
assert step._cache_size() == 1

# %% [markdown]
# In a file under `configs/` the same game is found by the tests, which hold it to all ten laws: one device equals
# eight, a resumed run equals one that never stopped, and more. `docs/games.md` says what else a game can do: several
# data streams, turns under a condition, an image pool, stages that grow, frozen players.
