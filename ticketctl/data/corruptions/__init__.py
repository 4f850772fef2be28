"""The 19 corruptions of CIFAR-10-C (Hendrycks and Dietterich 2019), in numpy and Pillow alone.

Each is a function of uint8 [n, 3, H, H], the constants of a severity, the images' own random numbers, and H/32.
Sums are of whole numbers in float64, exact in any order: bytes do not depend on how images are batched, nor on the
machine's libraries of linear algebra. Values are cut to whole grey levels downwards, as the released code does.
"""
