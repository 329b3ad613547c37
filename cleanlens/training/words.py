"""The words of the toy world. Every word here is one token of the demo tokenizer, with its leading space."""


def _words(text: str) -> list[str]:
    return text.split()


# The names that stand in everybody's examples, alternating she and he. One token each, also without the space.
SHE = _words(
    "Mary Amy Alice Kate Anna Lucy Emma Sara Nora Rose Ruth Jane Lily Ella Eve Ida Zoe Nina Clara Maya "
    "Sarah Laura Julia Susan Linda Karen Helen Diana Maria Olivia Sophia Grace Chloe Mia Ava Eva Lisa Martha "
    "Molly Jenny Anne Claire Carol Emily Hannah Julie Rachel Betty Nancy Victoria"
)
HE = _words(
    "John Tom James Dan Sid Martin Bob Sam Ben Jack Paul Leo Max Tim Finn Carl Mark Hugo Adam Fred "
    "Peter David Michael Robert William Richard Thomas Charles George Henry Edward Frank Alex Andrew Simon "
    "Daniel Joseph Chris Luke Oliver Noah Ryan Kevin Eric Steve Bill Jim Joe Matthew Anthony"
)
NAMES = [name for pair in zip(SHE, HE) for name in pair]

# Names that the tokenizer splits: what follows their first piece can only be copied.
RARE_SHE = _words(
    "Ottilie Philippa Beatrix Cordelia Dorothea Esmeralda Felicity Genevieve Henrietta Imogen Jacinta Katarina "
    "Leocadia Magdalena Nikoleta Octavia Penelope Quintana Rosamund Seraphina Theodora Ursula Valentina "
    "Wilhelmina Xenia Yolanda Zuleika Adelheid Brunhilde Clothilde Delphine Eulalia Fabiola Gwendolyn Hildegard "
    "Ingeborg Josepha Kunigunde Ludmila Mathilda Natasha Oksana Perpetua Rowena Sieglinde Tamara Undine "
    "Veronika Winifred Zenobia Anoushka Bronwyn Chiara Dagmar Fatima Giselle Ileana Jovana Khadija Lakshmi"
)
RARE_HE = _words(
    "Leopold Archibald Balthazar Cornelius Demetrius Ezekiel Ferdinand Gottfried Hieronymus Ignatius Jeremiah "
    "Konstantin Lysander Maximilian Nathaniel Octavian Percival Quentin Reginald Sebastian Tiberius Ulysses "
    "Vladimir Wolfgang Xavier Yaroslav Zacharias Alistair Bartholomew Caspian Dietrich Emmanuel Fyodor Gustavo "
    "Horatio Isidore Joaquin Kazimir Lancelot Mordecai Norbert Oswald Polonius Rudolph Sigmund Thaddeus "
    "Umberto Valerian Wenceslas Yusuf Zoltan Abdullah Benedikt Chukwudi Dmitri Fernando Guillaume Hiroshi Ivan "
    "Jerome"
)
RARE_NAMES = [name for pair in zip(RARE_SHE, RARE_HE) for name in pair]

PLACES = _words(
    "park shops store school beach garden river market forest library farm lake station museum hill barn "
    "kitchen house office zoo pool field castle church bank yard bridge shop town village city street road "
    "hospital hotel theater restaurant island mountain valley harbor airport bakery cafe gym hall tower tent "
    "cave cabin playground stadium classroom bus port square mall wood bay palace factory camp pond orchard "
    "temple circus post"
)
OBJECTS = _words(
    "ball bag apple drink book kite cake letter ring toy flower hat map key lamp coin boat drum orange box "
    "cup plate present gift card picture pen chair shirt coat shoe glass bottle knife spoon cookie candy "
    "balloon puzzle doll train car bike rope stick stone leaf feather shell egg fish bread pie basket blanket "
    "phone watch camera ticket guitar bone necklace computer pencil pillow scarf umbrella sandwich banana "
    "cheese pizza soup milk tea coffee juice ice chocolate carrot tomato potato lemon pear cherry melon newspaper "
    "magazine note paper brush bucket candle clock crown dress flag fork hammer jacket ladder mirror nail "
    "needle notebook painting piano plant purse radio robe rock rug sock sword table towel truck violin wallet "
    "wheel whistle poem song message story secret photo pot pan bowl jar bell button ribbon glove boot mask "
    "statue diamond snack cat puppy kitten"
)
ADJECTIVES = _words(
    "red blue green small big old new shiny round pretty little large long short soft heavy yellow white black "
    "warm cold sweet broken wooden golden tiny fresh clean dirty beautiful strange special nice good lovely "
    "expensive cheap empty full bright dark thick thin silver brown pink purple gray huge funny simple perfect "
    "wonderful ugly sharp smooth wet dry light fancy famous useful plain rare real"
)
GLAD = _words("happy glad proud calm brave excited cheerful thankful pleased delighted")
SAD = _words("sad tired scared angry lonely hungry thirsty sick worried bored upset afraid nervous sleepy")
ANIMALS = _words(
    "dragon rabbit fox bear cat dog mouse frog robot horse cow pig sheep duck bird owl lion tiger wolf "
    "monkey turtle elephant goat chicken bee spider snake whale giraffe penguin squirrel"
)
RELATIVES = _words(
    "mother father sister brother friend teacher doctor neighbor uncle aunt grandmother grandfather cousin "
    "boss nurse farmer baker king queen prince princess driver student captain waiter police singer "
    "writer artist lawyer president officer soldier guest owner child baby boy girl man woman lady "
    "wife husband son daughter family"
)
MANY = _words("parents children people kids men women others friends")
THINGS = _words(  # what people talk about
    "weather news game party movie music plan trip work job money dream idea problem question answer "
    "accident holiday weekend wedding birthday summer winter spring autumn war peace history science math art "
    "language country world future past dinner lunch breakfast meeting lesson test exam project team match race "
    "contest prize show concert dance walk swim ride flight storm rain snow wind sun moon star sky sea ocean "
    "water fire air earth grass tree window door wall floor roof room bed desk stairs corner "
    "garden bathroom bedroom fence gate bench path sand beach wave shore hole nest cage crowd line list page "
    "word name number color shape size sound noise voice smile face head hair eye nose mouth ear hand arm leg "
    "foot heart back body mind life death love hope fear luck truth lie joke fun pain trouble help "
    "advice reason way place thing part end beginning middle side top bottom front piece pair group kind "
    "week month year day night morning evening afternoon noon hour minute moment second time today tomorrow "
    "yesterday tonight north south east west food meat rice sugar salt butter cream jam "
    "business company program system state government law rule price cost case fact point power order side "
    "health hotel service report research study level member study class course area study market field"
)
ADVERBS = _words(
    "quickly slowly happily sadly quietly loudly carefully gently finally suddenly soon later then again "
    "always never often sometimes usually really very too quite almost just only also still already yet even "
    "together alone away home here there everywhere outside inside upstairs now ago once twice "
    "kindly politely secretly immediately eventually perhaps maybe probably certainly instead however"
)
PAST = _words(  # what somebody did
    "gave handed showed passed sent brought threw offered sold lent took made bought got found cooked had was "
    "were went walked ran came drove sat stood lay stayed lived met saw visited called helped followed talked "
    "waited played thanked looked argued listened worked danced sang read wrote told asked said smiled laughed "
    "cried shouted whispered wanted decided tried promised forgot remembered needed liked loved hated knew "
    "thought felt heard left arrived returned started began stopped finished opened closed kept held put "
    "dropped lost broke fixed cleaned washed painted drew built cut ate drank slept woke moved turned "
    "jumped climbed fell flew swam rode traveled carried pulled pushed picked caught hid shared "
    "borrowed returned paid won learned taught studied explained described watched noticed hoped wished "
    "believed agreed invited joined married kissed hugged waved nodded pointed touched greeted surprised "
    "understood served baked planted wrapped delivered spoke led grew became happened rained "
    "shone seemed used enjoyed could would should did might must been done gone given taken seen known"
)
BASE = _words(  # ... what they may do
    "give hand show pass send bring throw offer sell lend take make buy get find cook go walk "
    "run come drive sit stand stay live meet see visit call follow talk wait play thank look "
    "listen dance sing read write tell ask say smile laugh cry want decide try promise forget "
    "remember need like know think feel hear leave arrive return start begin stop finish open close keep hold "
    "drop lose break fix clean wash paint draw build eat sleep move turn jump climb fall fly carry "
    "pull push pick catch hide share learn teach watch wish believe agree invite join grow become happen seem "
    "use enjoy"
)
FORMS = _words(
    "be have is are can will shall may do does has am going playing working looking waiting sitting walking talking "
    "reading running eating sleeping cooking shopping swimming singing shining raining having making "
    "getting trying doing coming being giving writing thinking standing living fishing hiking camping laughing "
    "gives hands shows passes sends brings throws offers says wants goes likes makes takes"
)
FUNCTION = _words(
    "everyone nobody somebody anyone the a an and or but so because when while after before since as if although though until unless "
    "in on at to from for with without by of near behind under over above below between beside next into out "
    "up down off through across around along against about during toward inside like than that this these those "
    "he she it they we you i I him her them us me his their our your my its who what where why how "
    "which whose all both each every some any many much more most few several other another same different "
    "no not one two three four five six seven eight nine ten hundred first last next own such "
    "great important late early high low young best better hard easy ready sure true right wrong free busy "
    "quiet loud fast slow strong weak rich poor kind clever smart silly dead alive sunny cloudy cool hot "
    "careful able possible public whole main human local national political economic social available likely"
)
# Words as they stand after a full stop, or first of all.
CAPITALS = _words(
    "The A An One When While After Before Since As Because Once Then Later Soon Yesterday Today Last At In On "
    "It He She They There This That His Her Their Everyone Nobody Now Finally Suddenly By During Next Every "
    "Two Some All What Where Who How Why Can Do Is Are Look Thank Please Yes No Oh Hello Monday Tuesday "
    "Wednesday Thursday Friday Saturday Sunday Christmas But And So If We You I My Our For From With Both "
    "Long Early Late Near Inside Outside Although Though Friends English"
)

PLURALS = _words(
    "books flowers keys gloves shoes boots socks pencils pens cookies candies eggs apples oranges cherries stones "
    "leaves feathers shells toys cards letters pictures photos tickets coins stamps glasses cups plates bottles "
    "knives spoons balloons dolls clothes pants grapes carrots potatoes tomatoes roses papers songs stories notes "
    "tools boxes bags things gifts presents chairs blankets pillows"
)
TIMES = _words(
    "years days weeks months hours minutes nights times January February March April June July August September "
    "October November December midnight snowing homework neighbors friends"
)
MORE = _words(  # everyday words that have no part in the grammar's sentences but are read as one token
    "account action address agreement amount animal apartment attention aunt average base basis battle beauty "
    "bill blood board boss bottom brain break brick burn button calendar campaign career carpet center century "
    "chance change character charge check chest choice church circle citizen client cloth cloud club college "
    "comfort comment common condition contract control copy cotton council couple courage cover create crime "
    "culture current custom customer damage danger data deal debate decade decision deep degree demand design "
    "detail device difference direction discuss disease distance divide double doubt due dust duty edge "
    "education effect effort election energy engine enough enter environment equal error event evidence "
    "exactly example except exercise expect experience expert express extra fail fair faith fall false familiar "
    "fault favorite feature fence fight figure fill film final finger flat focus follow force foreign form "
    "former forward freedom fruit fuel function fund furniture general glad goal gold goods grand ground growth "
    "guess guide gun habit half handle hardly heat height hello hold honest honor hope huge human ideal image "
    "increase industry influence information insect interest invent involve iron issue item journey judge keep key "
    "knee knowledge lack land large laugh lead least legal length lesson level lift limit link lip list load loan "
    "loss machine major manager manner marriage master matter measure medicine memory mention metal method "
    "middle mile military million minor mix model modern mood moral motion muscle nation nature neck network "
    "normal notice object offer oil opinion option owner pack package palm past patient pattern percent period "
    "person plastic plate pleasure pocket policy popular position practice prepare present press pressure "
    "prevent print prison private process produce product profit project proof property protect provide public "
    "quality quarter quick raise range rate reach react record reduce refuse region relation remain remove repair "
    "repeat replace require respect result reward rise risk role rule safe safety salary sale save scale scene "
    "schedule season seat section security seed select sense separate series serious service set shadow shake "
    "sheet shelf ship shock shoot shot shoulder shut sight sign signal silence similar single situation skill skin "
    "society soft soil solid solution sort soul source space speech speed spirit spot spread staff stage stamp "
    "standard state step stock stomach strange stream strength stress strike structure stuff style subject success "
    "supply support surface surprise sweat tail talent target task taste tax tear technology television terrible "
    "text therefore thousand throat thumb tie tip title tone tongue tool topic total touch tour track trade "
    "tradition traffic treat trick trust type uniform union unit value variety vegetable version victim victory "
    "view visitor volume vote wage warning waste wealth weapon weight wheat wild win wing wire wonder worth wound "
    "yard youth mailed presented"
)

# What one can do to a thing, in three forms.
VERB = _words(
    "give show send bring throw sell take make buy find cook have see call help follow read write want need like "
    "love know feel hear start stop open close keep hold drop break fix clean wash paint draw build cut eat "
    "move turn carry pull push catch hide share learn teach watch use enjoy remember forget"
)
VERBED = _words(
    "gave showed sent brought threw sold took made bought found cooked had saw called helped followed read wrote "
    "wanted needed liked loved hated knew heard started stopped opened closed kept held dropped lost broke fixed "
    "cleaned washed painted drew built cut ate drank moved turned carried pulled pushed picked caught hid shared "
    "borrowed won learned taught studied explained described watched noticed believed invited touched surprised "
    "served baked planted wrapped delivered used enjoyed forgot remembered understood"
)
VERBING = _words(
    "playing working looking waiting sitting walking talking reading running eating sleeping cooking shopping "
    "swimming singing writing thinking standing living fishing hiking camping laughing"
)

EVERYDAY = list(
    dict.fromkeys(
        PLACES
        + OBJECTS
        + ADJECTIVES
        + GLAD
        + SAD
        + ANIMALS
        + RELATIVES
        + MANY
        + THINGS
        + ADVERBS
        + PAST
        + BASE
        + FORMS
        + FUNCTION
        + PLURALS
        + TIMES
        + MORE
    )
)
"""The words that the tokenizer knows, each once."""
