#include "parser/call_forms.h"

#include <type_traits>
#include <vector>

namespace weld::parser {
namespace {

template <class N>
concept CallShaped = requires {
  { N::kKeyword } -> std::convertible_to<std::string_view>;
};

template <class Fields>
constexpr bool kAllExprs = false;
template <class... Fields>
constexpr bool kAllExprs<std::tuple<Fields...>> =
    (std::is_same_v<std::remove_cvref_t<Fields>, ir::Expr> && ...);

template <std::size_t index>
void add_form(std::vector<CallForm>& forms) {
  using N = std::variant_alternative_t<index, ir::Node>;
  if constexpr (CallShaped<N>) {
    using Fields = decltype(N::fields(std::declval<N&>()));
    if constexpr (kAllExprs<Fields>) {
      forms.push_back({N::kKeyword, std::tuple_size_v<Fields>, index, [](std::span<const ir::Expr> parts) {
                         N node{};
                         std::size_t next = 0;
                         std::apply([&](auto&... field) { ((field = parts[next++]), ...); }, N::fields(node));
                         return ir::Node(node);
                       }});
    }
  }
}

}  // namespace

std::span<const CallForm> call_forms() {
  static const std::vector<CallForm> forms = [] {
    std::vector<CallForm> made;
    [&]<std::size_t... i>(std::index_sequence<i...>) {
      (add_form<i>(made), ...);
    }(std::make_index_sequence<std::variant_size_v<ir::Node>>{});
    return made;
  }();
  return forms;
}

}  // namespace weld::parser
