// w = g v / ||v||. Source: T. Salimans, D. Kingma, "Weight normalization: a simple reparameterization to accelerate
// training of deep neural networks", NIPS 2016. Elements are computed in double: g / ||v|| may overflow float where w
// does not.
#pragma once

#include "steps/math.h"

namespace fastnn {

// Equation 2.
template <class T>
FASTNN_STEP T scaled_direction(T v, double g_over_norm) {
  return T(double(v) * g_over_norm);
}

// Equation 3: dg = dw . v / ||v||, dv = (g / ||v||) dw - (g dg / ||v||^2) v.
FASTNN_STEP double magnitude_gradient(double dw_dot_v, double norm) { return dw_dot_v / norm; }

FASTNN_STEP double direction_pull(double g, double dg, double norm) { return g / norm * (dg / norm); }

template <class T>
FASTNN_STEP T direction_gradient(T dw, T v, double g_over_norm, double pull) {
  return T(g_over_norm * double(dw) - pull * double(v));
}

}  // namespace fastnn
