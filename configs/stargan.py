"""StarGAN: one generator turns a face into one with other hair, another sex, another age.

Paper: Choi et al. 2017, https://arxiv.org/abs/1711.09020; settings of the authors' PyTorch code (yunjey/stargan).
Command: python -m gan_jax.main --config configs/stargan.py --workdir runs/stargan --config.data.path=celeba

  celeba    128 pixels, the middle 178 of CelebA's faces, five attributes; the default. Unmeasured.
  celeba64  64 pixels, half as wide, one layer less in the discriminator. 1,000 steps at half of its width: black
            and brown hair follow in about half of the faces, blond in one of seven; faces are blurred.
  digits    scikit-learn's digits (16x16), each into all ten: needs no download. 4 minutes beside other work.

`celeba` reads a folder of pictures with metadata.csv (file_name and columns of 0 and 1), see docs/data.md. A step is
five iterations of the authors' code, the last of which moves the generator too. A model of two domains, to compare:
--config.game.domains="('Male',)" --config.game.exclusive="()" --config.game.discriminator.domains=1
--config.data.columns.attributes.names="('Male',)". Your own faces: python -m gan_jax.sample --workdir runs/stargan
--inputs photos --out painted; the discriminator tells which attributes they have.

differs: the rate falls to 0 over the second half, as in the paper. The authors' code takes 1e-9 of 1e-4 away every
  1,000 iterations: it ends at 0.999e-4.
differs: weights of the generator start at N(0, 0.02), gains of its norms at N(1, 0.02); the authors' uniform within 1 /
  sqrt(inputs), as PyTorch's layers do, and 1, or uniform in (0, 1) in the PyTorch of that time. Its last layer has a
  bias.
differs: all pictures of the folder's training set; the authors hold out 1,999 of CelebA.
differs: `celeba64` and `digits` are narrower and shorter, and `digits` learns ten times as fast,
  with 2 moves of the discriminator.
"""

from gan_jax import config as config_lib

VARIANTS = ('celeba', 'celeba64', 'digits')
HAIR = ('Black_Hair', 'Blond_Hair', 'Brown_Hair')
#: {variant: (pixels, channels, blocks, layers of the discriminator, steps of five iterations)}
SIZES = {'celeba': (128, 64, 6, 6, 40_000), 'celeba64': (64, 32, 4, 5, 10_000), 'digits': (16, 16, 1, 3, 2_000)}


def get_config(variant):
  digits = variant == 'digits'
  size, channels, blocks, layers, steps = SIZES[variant]
  domains = tuple(map(str, range(10))) if digits else (*HAIR, 'Male', 'Young')
  generator = dict(
    name='translation.ResnetGenerator',
    channels=channels,
    blocks=blocks,
    image_channels=1 if digits else 3,
    norm='instance',
    gain=True,
    border='SAME',
    kernel=4,
  )
  discriminator = dict(
    name='stargan.Discriminator', channels=tuple(channels << i for i in range(layers)), domains=len(domains)
  )
  moves = lambda count: dict(
    name='optax.adam',
    b1=0.5,
    learning_rate=dict(
      name='optax.linear_schedule',
      init_value=1e-3 if digits else 1e-4,
      end_value=0.0,
      transition_steps=count * (steps - steps // 2),
      transition_begin=count * (steps // 2),
    ),
  )
  stream = dict(name='digits', size=size, channels=1, classes=10)
  if not digits:
    columns = dict(image=dict(name='Picture'), attributes=dict(name='Attributes', names=domains))
    stream = dict(name='folder', path='celeba', size=size, flip=True, columns=columns)
  return config_lib.base(
    game=dict(
      name='stargan.StarGAN',
      domains=domains,
      field='label' if digits else 'attributes',
      exclusive=() if digits else HAIR,
      loss='wasserstein',
      penalty=dict(name='GradientPenalty', weight=10.0),
      classifier=1.0,
      cycle=10.0,
      discriminator_steps=2 if digits else 5,
      generator=generator,
      discriminator=discriminator,
    ),
    optimizers=dict(generator=moves(1), discriminator=moves(2 if digits else 5)),
    data=config_lib.stream(crop=178 if variant == 'celeba' else 0, **stream),
    batch_size=16,
    steps=steps,
    samples=16,
    log_every=50,
    sample_every=max(steps // 20, 500),
    checkpoint_every=max(steps // 20, 500),
  )
