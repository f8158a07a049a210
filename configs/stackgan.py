"""StackGAN: images of a text in two stages, small ones first; the text's condition is augmented.

Paper: Zhang et al. 2016, https://arxiv.org/abs/1612.03242; settings of the authors' code (hanzhanggit/StackGAN).
Command: python -m gan_jax.main --config configs/stackgan.py --workdir runs/stackgan

  birds        64 then 256 pixels of CUB-200, 10 embeddings of 1,024 numbers to each picture (the authors' come from a
               char-CNN-RNN), arrays `image` and `embedding` of cub/{split}.npz; the default. Unmeasured.
  birds_64     32 then 64 pixels, half as wide, of a folder with captions (metadata.jsonl, `text`), whose words are
               counted; in birds/, or --config.data.path=FOLDER. Unmeasured.
  fashion_128  64 then 128 pixels, half as wide, of a folder with titles, in fashion/. Unmeasured. If metadata.jsonl has
               the types too: --config.data.columns.type="{'name': 'Label', 'classes': 27}", and then
               `python -m gan_jax.evaluate --metrics classes --classes_of type` judges samples by that of their title.
  digits       4 then 8 pixels of scikit-learn's digits; the condition is the class: needs no download; 3 minutes.
               Fréchet distance 22.4, 87 % of the class asked for.

differs: pictures are paired with the wrong text of another example of the batch; the authors' are of another class, and
  cut and flipped apart from the right ones.
differs: D sees real, wrong and generated pairs in one batch. In the authors' code, as with
  --config.game.one_batch=False, each kind has a batch of its own, and D can tell the kind by the statistics of the
  batch (docs/results.md).
differs: vectors of words and classes begin at N(0, 1) where they make means and the discriminator's context; the
  authors' layers at 0.02, as here where they make deviations.
differs: the weight of the condition's divergence is the code's 2, and the rate of stage I falls every 50 epochs as
  there; the paper has 1, and 100 epochs. The authors' samples of stage I are of latents 0; here of drawn ones.
differs: one of an example's texts is drawn, the authors average the embeddings of four.
differs: the discriminator of stage I has an activation behind every convolution but the last, as that of stage II; the
  authors' code leaves out one.
differs: the generator moves on texts of its own, the authors' on the discriminator's.
differs: pictures are the middle squares of those of the data, by a bilinear filter; the authors cut them to 1.5 times
  the bird's box before, squeeze them to squares by a bicubic one, and make the small ones of the large.
differs: the noise of the condition and the weights of convolutions are normal, the authors' truncated at two
  deviations.
differs: stage I, frozen in stage II, computes with its running statistics, the authors' with those of the batch.
differs: a text that is no embedding is the shares of its words, brought to length 1, for which each network learns
  vectors in its first layer, where the authors have an encoder trained before.
differs: birds_64, fashion_128 and digits are ours: sizes, widths and lengths.
"""

from gan_jax import config as config_lib

VARIANTS = ('birds', 'birds_64', 'fashion_128', 'digits')
#: Of each variant: examples of the training set, batch, epochs of each stage, epochs until the rate is halved in each.
LENGTHS = {
  'birds': (8855, 64, (600, 600), (50, 100)),
  'birds_64': (4553, 64, (60, 60), (20, 20)),
  'fashion_128': (5503, 64, (60, 60), (20, 20)),
  'digits': (1433, 64, (100, 100), (50, 50)),
}
#: Stage I: base and channels of the generator, channels of the discriminator.
FIRST = {
  'birds': (4, (1024, 512, 256, 128), (64, 128, 256, 512)),
  'birds_64': (2, (512, 256, 128, 64), (32, 64, 128, 256)),
  'fashion_128': (4, (512, 256, 128, 64), (32, 64, 128, 256)),
  'digits': (2, (64,), (32, 64)),
}
#: Stage II: channels of the encoder, widths of the decoder, channels and 1x1 convolutions of the discriminator.
SECOND = {
  'birds': ((128, 256, 512), (256, 128, 64, 32), (64, 128, 256, 512, 1024, 2048), (1024, 512)),
  'birds_64': ((64, 128, 256), (128, 64, 32), (32, 64, 128, 256, 512), (256,)),
  'fashion_128': ((64, 128, 256), (128, 64, 32), (32, 64, 128, 256, 512, 1024), (512, 256)),
  'digits': ((32, 64), (64, 32), (32, 64), ()),
}
HEIGHTS = {'birds': (64, 256), 'birds_64': (32, 64), 'fashion_128': (64, 128), 'digits': (4, 8)}
#: Squares of `birds` are cut at random from these.
CUT_FROM = (76, 304)
#: Tokens: the most frequent words, and two for the end and for all others.
WORDS = {'birds': 0, 'birds_64': 302, 'fashion_128': 1002, 'digits': 10}


def get_config(variant):
  (base, channels, judged), (encoder, decoder, judged_2, hidden) = FIRST[variant], SECOND[variant]
  examples, batch, epochs, halved = LENGTHS[variant]
  epoch, words, digits = examples // batch, WORDS[variant], variant == 'digits'
  normal = lambda count: dict(name='Normal', shape=(count,))
  code = 16 if digits else 128
  judge = lambda channels, hidden: dict(
    name='stackgan.Discriminator', channels=channels, hidden=hidden, units=code, words=words
  )
  rates = {f'{kind}_{k}': _adam(halved[k - 1] * epoch) for kind in ('generator', 'discriminator') for k in (1, 2)}
  return config_lib.base(
    game=dict(
      name='stackgan.StackGAN',
      latents=dict(z=normal(32 if digits else 100), noise_1=normal(code), noise_2=normal(code)),
      generator_1=dict(
        name='stackgan.Generator', channels=channels, base=base, image_channels=1 if digits else 3, words=words
      ),
      discriminator_1=judge(judged, ()),
      generator_2=dict(
        name='stackgan.Refiner', channels=encoder, blocks=1 if digits else 4, widths=decoder, words=words
      ),
      discriminator_2=judge(judged_2, hidden),
      condition=dict(birds='embedding', digits='label').get(variant, 'text'),
      stage=1,
      kl=2.0,
      wrong=True,
      one_batch=True,
    ),
    optimizers=rates,
    data=_data(variant, HEIGHTS[variant][0], words),
    batch_size=batch,
    stages=(
      dict(steps=epochs[0] * epoch),
      dict(
        steps=epochs[1] * epoch,
        game=dict(stage=2),
        data=dict(size=HEIGHTS[variant][1], random_crop=CUT_FROM[1] if variant == 'birds' else 0),
      ),
    ),
    log_every=100 if digits else epoch,
    sample_every=10 * epoch,
    checkpoint_every=10 * epoch,
  )


def _adam(steps):
  return dict(
    name='optax.adam',
    learning_rate=dict(
      name='optax.exponential_decay', init_value=2e-4, transition_steps=steps, decay_rate=0.5, staircase=True
    ),
    b1=0.5,
  )


def _data(variant, size, words):
  if variant == 'digits':
    return config_lib.stream(name='digits', size=size, channels=1, classes=10)
  if variant == 'birds':
    columns = dict(image=dict(name='Picture'), embedding=dict(name='Embedding', size=1024, captions=10))
    pixels = dict(size=size, channels=3, flip=True, random_crop=CUT_FROM[0])
    return config_lib.stream(name='npz', path='cub/{split}.npz', columns=columns, **pixels)
  captions = 10 if variant == 'birds_64' else 5
  text = dict(name='Text', length=16, level='words', vocabulary=words - 2, captions=captions)
  path = 'birds/' if variant == 'birds_64' else 'fashion/'
  columns = dict(image=dict(name='Picture'), text=text)
  return config_lib.stream(name='folder', path=path, size=size, channels=3, flip=True, columns=columns)
