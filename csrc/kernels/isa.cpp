// Compiled once per ISA, with FASTNN_ISA as its name. There is nothing else to decide here.
#include "kernels/activation.h"
#include "kernels/channel_norm.h"
#include "kernels/loss.h"
#include "kernels/optim.h"
#include "kernels/random.h"
#include "kernels/row_norm.h"
#include "kernels/stream.h"
#include "kernels/table.h"

#define FASTNN_TEXT_(x) #x
#define FASTNN_TEXT(x) FASTNN_TEXT_(x)

namespace fastnn {
namespace {

template <class T>
constexpr Kernels<T> kernels = {
#define FASTNN_KERNEL(name, Args) &name##_kernel<T>,
#include "kernels/kernels.inc"
#undef FASTNN_KERNEL
};

}  // namespace

namespace FASTNN_ISA {
extern constexpr Table table = {FASTNN_TEXT(FASTNN_ISA), kernels<float>, kernels<double>, &philox_words};
}  // namespace FASTNN_ISA

}  // namespace fastnn
