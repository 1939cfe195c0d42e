"""AttnGAN: text to image generation with attentional generative adversarial networks (Xu et al., CVPR 2018).

Words and sentence come from the DAMSM text encoder (`text_encoder`); a generator paints a small picture from the
sentence and refines it in stages that attend to the words (`generator`, `word_attention`); a discriminator a stage
(`discriminator`) and the DAMSM losses (`damsm`), which compare the picture with the words, judge it (`losses`). Shapes:
pictures (batch, 3, size, size) in -1..1, words (batch, words, dim), sentences (batch, dim), attention (batch, 1 head,
cells, words). Parameters bear their published names, so that published weights load (`published`).
"""
