#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <numeric>

#include "bench/tpch/rows.h"
#include "bench/tpch/scale.h"
#include "bench/tpch/streams.h"
#include "bench/tpch/text_pool.h"
#include "bench/tpch/words.h"

/// How each table's rows are drawn: `make_rows(OfTable<Row>{}, source, units, sink)` calls `sink(row)` for
/// every row of the units. A unit is a row, but a part for partsupp (four rows) and an order for lineitem
/// (one to seven).
namespace weld::bench::tpch {

/// Units of a table, counted from 0.
struct UnitRange {
  std::int64_t first;
  std::int64_t num_units;
};

struct RowSource {
  const Scale& scale;
  const Vocabulary& words;
  const TextPool* pool;  ///< null leaves all comments empty
};

template <typename Row>
struct OfTable {};

inline constexpr std::int32_t kFirstDay = 8035;  // 1992-01-01
inline constexpr std::int32_t kToday = kFirstDay + 1263;

inline std::int64_t num_units(TableId table, const Scale& scale, const Vocabulary& words) {
  switch (table) {
    case TableId::kCustomer:
      return scale.num_customers();
    case TableId::kLineitem:
    case TableId::kOrders:
      return scale.num_orders();
    case TableId::kNation:
      return std::ssize(words.list(WordListId::kNations).words);
    case TableId::kPart:
    case TableId::kPartsupp:
      return scale.num_parts();
    case TableId::kRegion:
      return std::ssize(words.list(WordListId::kRegions).words);
    case TableId::kSupplier:
      break;
  }
  return scale.num_suppliers();
}

/// Comments of one column: two numbers each.
template <StreamId kId, std::int64_t kMin, std::int64_t kMax>
class CommentStream {
 public:
  CommentStream(const RowSource& source, std::int64_t first_row) : pool_(source.pool), stream_(first_row) {}

  void begin_row() {
    if (pool_) stream_.begin_row();
  }

  std::string_view draw() {
    if (!pool_) return {};
    const std::int64_t offset = stream_.draw(0, TextPool::kNumBytes - kMax);
    const std::int64_t num_bytes = stream_.template draw<kMin, kMax>();
    const std::string_view text = pool_->slice(offset, num_bytes);
    // The pool is larger than any cache: ask for the text now, it is copied with the rest of the row.
    __builtin_prefetch(text.data());
    __builtin_prefetch(text.data() + num_bytes - 1);
    return text;
  }

  std::string_view next_row() {
    begin_row();
    return draw();
  }

 private:
  const TextPool* pool_;
  Stream<kId> stream_;
};

inline constexpr std::string_view kAddressAlphabet =
    "0123456789abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ,";

template <StreamId kId>
class AddressStream {
 public:
  explicit AddressStream(std::int64_t first_row) : stream_(first_row) {}

  /// Valid until the next call.
  std::string_view next_row() {
    stream_.begin_row();
    const auto num_bytes = static_cast<std::size_t>(stream_.template draw<10, 40>());
    std::int64_t bits = 0;
    for (std::size_t i = 0; i < num_bytes; ++i) {
      if (i % 5 == 0) {
        // Negative: a range of 2^31 wraps in the official generator, and all published data has it so.
        const double fraction = static_cast<double>(stream_.step()) / static_cast<double>(kModulus);
        bits = static_cast<std::int64_t>(fraction * -2147483648.0);
      }
      text_[i] = kAddressAlphabet[static_cast<std::size_t>(bits & 63)];
      bits >>= 6;
    }
    return {text_.data(), num_bytes};
  }

 private:
  Stream<kId> stream_;
  std::array<char, kAddressBytes> text_;
};

/// Writes the last `num_digits` digits of `number`, zero-padded.
inline void write_digits(char* out, std::int64_t number, int num_digits) {
  for (int i = num_digits - 1; i >= 0; --i, number /= 10) out[i] = static_cast<char>('0' + number % 10);
}

template <StreamId kId>
class PhoneStream {
 public:
  explicit PhoneStream(std::int64_t first_row) : stream_(first_row) { text_.fill('-'); }

  /// Valid until the next call.
  std::string_view next_row(std::int64_t nationkey) {
    stream_.begin_row();
    write_digits(&text_[0], 10 + nationkey, 2);
    write_digits(&text_[3], stream_.template draw<100, 999>(), 3);
    write_digits(&text_[7], stream_.template draw<100, 999>(), 3);
    write_digits(&text_[11], stream_.template draw<1000, 9999>(), 4);
    return {text_.data(), text_.size()};
  }

 private:
  Stream<kId> stream_;
  std::array<char, kPhoneBytes> text_;
};

/// A prefix and a number of at least nine digits: Customer#000000001.
class NumberedName {
 public:
  explicit NumberedName(std::string_view prefix) : num_prefix_bytes_(prefix.size()) {
    std::ranges::copy(prefix, text_.begin());
  }

  /// Valid until the next call.
  std::string_view of(std::int64_t number) {
    char* const digits = text_.data() + num_prefix_bytes_;
    const int num_digits = number < 1'000'000'000 ? 9 : 10;
    write_digits(digits, number, num_digits);
    return {text_.data(), num_prefix_bytes_ + static_cast<std::size_t>(num_digits)};
  }

 private:
  std::array<char, kNameBytes> text_;
  std::size_t num_prefix_bytes_;
};

inline constexpr std::int64_t kMinBalance = -99'999;
inline constexpr std::int64_t kMaxBalance = 999'999;

/// Cents.
inline std::int64_t retail_price(std::int64_t part) {
  return 90'000 + part / 10 % 20'001 + 100 * (part % 1'000);
}

/// The `index`-th (0 … 3) of the four suppliers of a part.
inline std::int64_t supplier_of(std::int64_t part, std::int64_t index, std::int64_t num_suppliers) {
  return (part + index * (num_suppliers / 4 + (part - 1) / num_suppliers)) % num_suppliers + 1;
}

/// Of every 32 consecutive keys only the first 8 are used.
inline std::int64_t order_key(std::int64_t order) {
  return order / 8 * 32 + order % 8;
}

template <typename Sink>
void make_rows(OfTable<CustomerRow>, const RowSource& source, UnitRange units, Sink&& sink) {
  NumberedName name("Customer#");
  AddressStream<StreamId::kCustomerAddress> address(units.first);
  Stream<StreamId::kCustomerNation> nation(units.first);
  PhoneStream<StreamId::kCustomerPhone> phone(units.first);
  Stream<StreamId::kCustomerBalance> balance(units.first);
  Stream<StreamId::kCustomerSegment> segment(units.first);
  CommentStream<StreamId::kCustomerComment, 29, 116> comment(source, units.first);
  const PickTable<std::uint8_t>& segments = source.words.list(WordListId::kSegments).picks;

  for (std::int64_t key = units.first + 1; key <= units.first + units.num_units; ++key) {
    CustomerRow row;
    row.comment.value = comment.next_row();
    row.custkey.value = key;
    row.name.value = name.of(key);
    row.address.value = address.next_row();
    nation.begin_row();
    row.nationkey.value = nation.draw<0, 24>();
    row.phone.value = phone.next_row(row.nationkey.value);
    balance.begin_row();
    row.acctbal.value = balance.draw(kMinBalance, kMaxBalance);
    segment.begin_row();
    row.mktsegment.value = segment.pick(segments);
    sink(row);
  }
}

/// Writes what a few suppliers' customers said over the comment.
class RemarkStreams {
 public:
  explicit RemarkStreams(std::int64_t first_row)
      : whether_(first_row), kind_(first_row), gap_(first_row), position_(first_row) {}

  /// `comment`, or a changed copy of it that is valid until the next call.
  std::string_view next_row(std::string_view comment) {
    whether_.begin_row();
    kind_.begin_row();
    gap_.begin_row();
    position_.begin_row();
    if (comment.empty() || whether_.draw<1, 10'000>() > 10) return comment;

    constexpr std::string_view kWho = "Customer ";
    const std::string_view said = kind_.draw<0, 100>() < 50 ? "Complaints" : "Recommends";
    const std::int64_t room = std::ssize(comment) - std::ssize(kWho) - std::ssize(said);
    const std::int64_t gap = gap_.draw(0, room);
    const std::int64_t position = position_.draw(0, room - gap);
    std::ranges::copy(comment, text_.begin());
    std::ranges::copy(kWho, text_.begin() + position);
    std::ranges::copy(said, text_.begin() + position + std::ssize(kWho) + gap);
    return {text_.data(), comment.size()};
  }

 private:
  Stream<StreamId::kRemarkWhether> whether_;
  Stream<StreamId::kRemarkKind> kind_;
  Stream<StreamId::kRemarkGap> gap_;
  Stream<StreamId::kRemarkPosition> position_;
  std::array<char, 100> text_;
};

template <typename Sink>
void make_rows(OfTable<SupplierRow>, const RowSource& source, UnitRange units, Sink&& sink) {
  NumberedName name("Supplier#");
  AddressStream<StreamId::kSupplierAddress> address(units.first);
  Stream<StreamId::kSupplierNation> nation(units.first);
  PhoneStream<StreamId::kSupplierPhone> phone(units.first);
  Stream<StreamId::kSupplierBalance> balance(units.first);
  CommentStream<StreamId::kSupplierComment, 25, 100> comment(source, units.first);
  RemarkStreams remark(units.first);

  for (std::int64_t key = units.first + 1; key <= units.first + units.num_units; ++key) {
    SupplierRow row;
    row.comment.value = remark.next_row(comment.next_row());
    row.suppkey.value = key;
    row.name.value = name.of(key);
    row.address.value = address.next_row();
    nation.begin_row();
    row.nationkey.value = nation.draw<0, 24>();
    row.phone.value = phone.next_row(row.nationkey.value);
    balance.begin_row();
    row.acctbal.value = balance.draw(kMinBalance, kMaxBalance);
    sink(row);
  }
}

template <typename Sink>
void make_rows(OfTable<NationRow>, const RowSource& source, UnitRange units, Sink&& sink) {
  CommentStream<StreamId::kNationComment, 28, 115> comment(source, units.first);
  for (std::int64_t key = units.first; key < units.first + units.num_units; ++key) {
    const auto index = static_cast<std::size_t>(key);
    sink(NationRow{.nationkey = {key},
                   .name = {source.words.list(WordListId::kNations).listed[index]},
                   .regionkey = {source.words.nation_regions()[index]},
                   .comment = {comment.next_row()}});
  }
}

template <typename Sink>
void make_rows(OfTable<RegionRow>, const RowSource& source, UnitRange units, Sink&& sink) {
  CommentStream<StreamId::kRegionComment, 28, 115> comment(source, units.first);
  for (std::int64_t key = units.first; key < units.first + units.num_units; ++key) {
    sink(RegionRow{.regionkey = {key},
                   .name = {source.words.list(WordListId::kRegions).listed[static_cast<std::size_t>(key)]},
                   .comment = {comment.next_row()}});
  }
}

/// Names of parts: five different colours.
class PartNameStream {
 public:
  PartNameStream(const Vocabulary& words, std::int64_t first_row)
      : colours_(words.colours()), stream_(first_row) {
    std::iota(order_.begin(), order_.end(), std::uint8_t{0});
  }

  /// Valid until the next call.
  std::string_view next_row() {
    stream_.begin_row();
    const auto last = std::ssize(order_) - 1;
    std::array<std::size_t, 5> swapped;
    char* out = text_.data();
    // A shuffle of all colours, of which only the first five swaps show.
    for (std::size_t i = 0; i < swapped.size(); ++i) {
      swapped[i] = static_cast<std::size_t>(stream_.draw(static_cast<std::int64_t>(i), last));
      std::swap(order_[i], order_[swapped[i]]);
      if (i != 0) *out++ = ' ';
      out = std::ranges::copy(colours_[order_[i]], out).out;
    }
    // Every part starts from the colours in file order: undo the swaps, last first.
    for (std::size_t i = swapped.size(); i-- != 0;) std::swap(order_[i], order_[swapped[i]]);
    return {text_.data(), out};
  }

 private:
  const std::vector<std::string>& colours_;
  Stream<StreamId::kPartName> stream_;
  std::array<std::uint8_t, 92> order_;
  std::array<char, 64> text_;
};

template <typename Sink>
void make_rows(OfTable<PartRow>, const RowSource& source, UnitRange units, Sink&& sink) {
  PartNameStream name(source.words, units.first);
  Stream<StreamId::kPartMfgr> mfgr(units.first);
  Stream<StreamId::kPartBrand> brand(units.first);
  Stream<StreamId::kPartType> type(units.first);
  Stream<StreamId::kPartSize> size(units.first);
  Stream<StreamId::kPartContainer> container(units.first);
  CommentStream<StreamId::kPartComment, 5, 22> comment(source, units.first);
  const PickTable<std::uint8_t>& types = source.words.list(WordListId::kTypes).picks;
  const PickTable<std::uint8_t>& containers = source.words.list(WordListId::kContainers).picks;

  for (std::int64_t key = units.first + 1; key <= units.first + units.num_units; ++key) {
    PartRow row;
    row.comment.value = comment.next_row();
    row.partkey.value = key;
    row.name.value = name.next_row();
    mfgr.begin_row();
    brand.begin_row();
    const auto manufacturer = static_cast<std::uint8_t>(mfgr.draw<0, 4>());
    row.mfgr.value = manufacturer;
    row.brand.value = static_cast<std::uint8_t>(5 * manufacturer + brand.draw<0, 4>());
    type.begin_row();
    row.type.value = type.pick(types);
    size.begin_row();
    row.size.value = size.draw<1, 50>();
    container.begin_row();
    row.container.value = container.pick(containers);
    row.retailprice.value = retail_price(key);
    sink(row);
  }
}

template <typename Sink>
void make_rows(OfTable<PartsuppRow>, const RowSource& source, UnitRange units, Sink&& sink) {
  Stream<StreamId::kPartsuppQuantity> quantity(units.first);
  Stream<StreamId::kPartsuppCost> cost(units.first);
  CommentStream<StreamId::kPartsuppComment, 49, 198> comment(source, units.first);
  const std::int64_t num_suppliers = source.scale.num_suppliers();

  for (std::int64_t key = units.first + 1; key <= units.first + units.num_units; ++key) {
    quantity.begin_row();
    cost.begin_row();
    comment.begin_row();
    std::array<std::string_view, 4> comments;
    for (std::string_view& text : comments) text = comment.draw();
    for (std::size_t i = 0; i < comments.size(); ++i) {
      sink(PartsuppRow{.partkey = {key},
                       .suppkey = {supplier_of(key, static_cast<std::int64_t>(i), num_suppliers)},
                       .availqty = {quantity.draw<1, 9'999>()},
                       .supplycost = {cost.draw<100, 100'000>()},
                       .comment = {comments[i]}});
    }
  }
}

/// What orders and lineitem have in common: an order's price and status follow from its lines.
class OrderStreams {
 public:
  struct Line {
    std::int64_t quantity;
    std::int64_t partkey;
    std::int64_t extendedprice;
    std::int64_t discount;
    std::int64_t tax;
    std::int32_t shipdate;
  };

  OrderStreams(const Scale& scale, std::int64_t first_order)
      : num_parts_(scale.num_parts()),
        order_date_(first_order),
        line_count_(first_order),
        quantity_(first_order),
        discount_(first_order),
        tax_(first_order),
        part_(first_order),
        ship_date_(first_order) {}

  struct Order {
    std::int32_t date;
    int num_lines;
  };

  Order begin_order() {
    order_date_.begin_row();
    line_count_.begin_row();
    quantity_.begin_row();
    discount_.begin_row();
    tax_.begin_row();
    part_.begin_row();
    ship_date_.begin_row();
    date_ = kFirstDay + static_cast<std::int32_t>(order_date_.draw<0, 2'405>());
    return {date_, static_cast<int>(line_count_.draw<1, 7>())};
  }

  Line next_line() {
    Line line;
    line.quantity = quantity_.draw<1, 50>();
    line.discount = discount_.draw<0, 10>();
    line.tax = tax_.draw<0, 8>();
    line.partkey = part_.draw(1, num_parts_);
    line.extendedprice = line.quantity * retail_price(line.partkey);
    line.shipdate = date_ + static_cast<std::int32_t>(ship_date_.draw<1, 121>());
    return line;
  }

 private:
  std::int64_t num_parts_;
  std::int32_t date_ = 0;
  Stream<StreamId::kOrderDate> order_date_;
  Stream<StreamId::kOrderLineCount> line_count_;
  Stream<StreamId::kLineQuantity> quantity_;
  Stream<StreamId::kLineDiscount> discount_;
  Stream<StreamId::kLineTax> tax_;
  Stream<StreamId::kLinePart> part_;
  Stream<StreamId::kLineShipDate> ship_date_;
};

/// In cents, with the two truncations of the official generator.
inline std::int64_t charge(const OrderStreams::Line& line) {
  return line.extendedprice * (100 - line.discount) / 100 * (100 + line.tax) / 100;
}

/// Every third customer never orders: moves on from those.
inline std::int64_t ordering_customer(std::int64_t customer, std::int64_t num_customers) {
  for (std::int64_t step = 1; customer % 3 == 0; step = -step) {
    customer = std::min(customer + step, num_customers);
  }
  return customer;
}

template <typename Sink>
void make_rows(OfTable<OrdersRow>, const RowSource& source, UnitRange units, Sink&& sink) {
  OrderStreams orders(source.scale, units.first);
  NumberedName clerk_name("Clerk#");
  Stream<StreamId::kOrderCustomer> customer(units.first);
  Stream<StreamId::kOrderPriority> priority(units.first);
  Stream<StreamId::kOrderClerk> clerk(units.first);
  CommentStream<StreamId::kOrderComment, 19, 78> comment(source, units.first);
  const PickTable<std::uint8_t>& priorities = source.words.list(WordListId::kPriorities).picks;
  const WordList& statuses = source.words.list(WordListId::kOrderStatuses);
  const std::uint8_t finished = *statuses.code_of("F");
  const std::uint8_t open = *statuses.code_of("O");
  const std::uint8_t partial = *statuses.code_of("P");
  const std::int64_t num_customers = source.scale.num_customers();
  const std::int64_t num_clerks = source.scale.num_clerks();

  for (std::int64_t number = units.first + 1; number <= units.first + units.num_units; ++number) {
    OrdersRow row;
    row.comment.value = comment.next_row();
    const auto [date, num_lines] = orders.begin_order();
    int num_shipped = 0;
    std::int64_t total = 0;
    for (int i = 0; i < num_lines; ++i) {
      const OrderStreams::Line line = orders.next_line();
      total += charge(line);
      num_shipped += line.shipdate <= kToday;
    }
    row.orderkey.value = order_key(number);
    customer.begin_row();
    row.custkey.value = ordering_customer(customer.draw(1, num_customers), num_customers);
    row.orderstatus.value = num_shipped == num_lines ? finished : num_shipped == 0 ? open : partial;
    row.totalprice.value = total;
    row.orderdate.value = date;
    priority.begin_row();
    row.orderpriority.value = priority.pick(priorities);
    clerk.begin_row();
    row.clerk.value = clerk_name.of(clerk.draw(1, num_clerks));
    row.shippriority.value = 0;
    sink(row);
  }
}

template <typename Sink>
void make_rows(OfTable<LineitemRow>, const RowSource& source, UnitRange units, Sink&& sink) {
  OrderStreams orders(source.scale, units.first);
  Stream<StreamId::kLineSupplier> supplier(units.first);
  Stream<StreamId::kLineCommitDate> commit_date(units.first);
  Stream<StreamId::kLineReceiptDate> receipt_date(units.first);
  Stream<StreamId::kLineReturnFlag> return_flag(units.first);
  Stream<StreamId::kLineInstruction> instruction(units.first);
  Stream<StreamId::kLineMode> mode(units.first);
  CommentStream<StreamId::kLineComment, 10, 43> comment(source, units.first);
  const WordList& flags = source.words.list(WordListId::kReturnFlags);
  const std::uint8_t not_received = *flags.code_of("N");
  const WordList& statuses = source.words.list(WordListId::kLineStatuses);
  const std::uint8_t shipped = *statuses.code_of("F");
  const std::uint8_t open = *statuses.code_of("O");
  const PickTable<std::uint8_t>& instructions = source.words.list(WordListId::kInstructions).picks;
  const PickTable<std::uint8_t>& modes = source.words.list(WordListId::kModes).picks;
  const std::int64_t num_suppliers = source.scale.num_suppliers();

  for (std::int64_t number = units.first + 1; number <= units.first + units.num_units; ++number) {
    const auto [date, num_lines] = orders.begin_order();
    supplier.begin_row();
    commit_date.begin_row();
    receipt_date.begin_row();
    return_flag.begin_row();
    instruction.begin_row();
    mode.begin_row();
    comment.begin_row();
    std::array<std::string_view, 7> comments;
    for (int i = 0; i < num_lines; ++i) comments[static_cast<std::size_t>(i)] = comment.draw();

    for (int i = 0; i < num_lines; ++i) {
      const OrderStreams::Line line = orders.next_line();
      LineitemRow row;
      row.orderkey.value = order_key(number);
      row.partkey.value = line.partkey;
      row.suppkey.value = supplier_of(line.partkey, supplier.draw<0, 3>(), num_suppliers);
      row.linenumber.value = i + 1;
      row.quantity.value = line.quantity;
      row.extendedprice.value = line.extendedprice;
      row.discount.value = line.discount;
      row.tax.value = line.tax;
      row.shipdate.value = line.shipdate;
      row.commitdate.value = date + static_cast<std::int32_t>(commit_date.draw<30, 90>());
      row.receiptdate.value = line.shipdate + static_cast<std::int32_t>(receipt_date.draw<1, 30>());
      row.returnflag.value = row.receiptdate.value <= kToday ? return_flag.pick(flags.picks) : not_received;
      row.linestatus.value = line.shipdate <= kToday ? shipped : open;
      row.shipinstruct.value = instruction.pick(instructions);
      row.shipmode.value = mode.pick(modes);
      row.comment.value = comments[static_cast<std::size_t>(i)];
      sink(row);
    }
  }
}

}  // namespace weld::bench::tpch
